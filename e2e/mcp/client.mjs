// An MCP client that knows the server's address and its own credentials, and
// finds out all else from the server: node client.mjs <url> <id> <secret>
// <issuer>. It prints what it requested, what it was answered and what the tool
// says, as one line of JSON.
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { extractWWWAuthenticateParams } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const [url, clientId, clientSecret, expectedIssuer] = process.argv.slice(2)
const authProvider = new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer })
const requests = []

async function recordingFetch(target, options) {
  const response = await fetch(target, options)
  const { pathname } = new URL(target)
  requests.push(`${options?.method ?? 'GET'} ${pathname} ${response.status}`)
  // The SDK asks for the challenge's scopes where a person signs in, but not
  // with client credentials.
  authProvider.clientMetadata.scope = extractWWWAuthenticateParams(response).scope ?? authProvider.clientMetadata.scope
  return response
}

const transport = new StreamableHTTPClientTransport(new URL(url), {
  authProvider,
  fetch: recordingFetch,
})
const client = new Client({ name: 'client', version: '1.0.0' })
const result = {}
try {
  await client.connect(transport)
  result.tools = (await client.listTools()).tools.map(({ name }) => name)
  result.answer = (await client.callTool({ name: 'whoami' })).content[0].text
  await client.close()
} catch (error) {
  result.error = String(error)
}
console.log(JSON.stringify({ ...result, requests }))
process.exit()
