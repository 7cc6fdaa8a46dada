// An MCP server with one tool, on a free port of the loopback interface. It
// prints its address and ends when its standard input does.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'

function tools() {
  const server = new McpServer({ name: 'tools', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Tells what headers say of the caller.' }, ({ requestInfo }) => {
    const { 'x-user': user, 'x-scopes': scopes, authorization } = requestInfo.headers
    return { content: [{ type: 'text', text: JSON.stringify({ user, scopes, authorization }) }] }
  })
  return server
}

const sessions = new Map()

async function transportOf(request) {
  const known = sessions.get(request.headers['mcp-session-id'])
  if (known) return known
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => sessions.set(id, transport),
  })
  await tools().connect(transport)
  return transport
}

const server = createServer(async (request, response) => {
  try {
    await (await transportOf(request)).handleRequest(request, response)
  } catch (error) {
    console.error(error)
    response.writeHead(500).end()
  }
})
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`))
process.stdin.on('end', () => process.exit()).resume()
