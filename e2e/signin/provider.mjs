// An OpenID provider made of the engine that Logto is built on, with Logto's
// settings: node provider.mjs <settings>, a JSON object with the client's id
// and secret, its redirectURIs and postLogoutRedirectURIs. It knows two people,
// who sign in by a click on their name.
//
// It prints where it listens, as one line of JSON. POST /control with a JSON
// object changes what happens from then on: {"ttl": 3} is how long access and ID
// tokens are good for, in seconds; {"reset": true} counts from nothing again;
// {"revoke": true} ends all grants, as an administrator can. The answer has the
// counts and the newest authorization request. It ends with its standard input.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { json, text } from 'node:stream/consumers'

import Provider, { errors } from 'oidc-provider'

const { id, secret, redirectURIs, postLogoutRedirectURIs } = JSON.parse(process.argv[2])

const people = { alice: { name: 'Alice', username: 'alice', roles: ['reader'] }, bob: { name: 'Bob', username: 'bob', roles: [] } }
const scopes = { 'https://api.example.com': 'read:products write:orders' }

let ttl = 3600
let counts
let newestRequest
const grants = new Set()

const reset = () => {
  counts = { authorizations: 0, logins: 0, codes: 0, refreshes: 0, refusals: 0, revocations: 0, signOuts: 0 }
}

const server = createServer()
await new Promise(resolve => { server.listen(0, '127.0.0.1', resolve) })
const endpoint = `http://127.0.0.1:${server.address().port}`

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })

const provider = new Provider(`${endpoint}/oidc`, {
  clients: [{
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: redirectURIs,
    post_logout_redirect_uris: postLogoutRedirectURIs,
  }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig' }] },
  clientDefaults: { id_token_signed_response_alg: 'ES384' },
  enabledJWA: { idTokenSigningAlgValues: ['ES384'] },
  cookies: { keys: ['only for tests'] },
  scopes: ['openid', 'offline_access', ...Object.values(scopes).join(' ').split(' ')],
  claims: { openid: ['sub'], profile: ['name', 'username'], roles: ['roles'] },
  conformIdTokenClaims: false,
  findAccount: (_ctx, sub) => people[sub] && { accountId: sub, claims: () => ({ sub, ...people[sub] }) },
  // Logto needs it of public clients only; ours sends it all the same.
  pkce: { required: () => true },
  ttl: { AccessToken: () => ttl, IdToken: () => ttl, RefreshToken: 14 * 86400, Session: 14 * 86400, Grant: 180 * 86400, Interaction: 3600 },
  // A confidential client keeps its refresh token for most of the token's life.
  rotateRefreshToken: ctx => ctx.oidc.entities.RefreshToken.ttlPercentagePassed() >= 70,
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => false, // a token request without a resource gets an opaque token
      getResourceServerInfo(_ctx, resource) {
        if (!scopes[resource]) throw new errors.InvalidTarget()
        return { audience: resource, scope: scopes[resource], accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES384' } } }
      },
    },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
})

// A session gets a new identifier at each step, and what other tabs send at that
// moment has the old one: they end on an error of the provider's. How the site
// treats tabs that sign in at once could then not be seen.
provider.Session.prototype.resetIdentifier = () => {}

provider.on('server_error', (_ctx, error) => console.error(error))
provider.on('grant.success', ctx => { counts[ctx.oidc.params.grant_type === 'refresh_token' ? 'refreshes' : 'codes']++ })
provider.on('grant.error', (_ctx, error) => { counts.refusals++; console.error(error) })
provider.on('authorization.error', (_ctx, error) => { console.error(error) })
provider.on('grant.revoked', () => { counts.revocations++ })
provider.on('end_session.success', () => { counts.signOuts++ })

const callback = provider.callback()

const page = (title, body) => `<!doctype html><html lang="en"><title>${title}</title><link rel="icon" href="data:,">${body}</html>`

// logoutSource asks nobody: the form sends itself, which needs JavaScript.
function logoutSource(ctx, form) {
  const confirmed = form.replace('</form>', '<input type="hidden" name="logout" value="yes"></form>')
  ctx.body = page('Signing out', `<body onload="document.forms[0].submit()">${confirmed}</body>`)
}

// interaction lets a person in, and consents in the person's name to all that is
// asked for, without a page: this is a first-party application.
async function interaction(req, res) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res)
  if (prompt.name === 'login') {
    if (req.method !== 'POST') {
      const buttons = Object.entries(people).map(([sub, { name }]) => `<button name="person" value="${sub}">${name}</button>`)
      res.setHeader('Content-Type', 'text/html')
      res.end(page('Sign in', `<form method="post">${buttons.join('')}</form>`))
      return
    }
    counts.logins++
    const accountId = new URLSearchParams(await text(req)).get('person')
    await provider.interactionFinished(req, res, { login: { accountId } }, { mergeWithLastSubmission: false })
    return
  }
  // One grant for each browser and application.
  const existing = grantId && await provider.Grant.find(grantId)
  const grant = existing || new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
  grant.addOIDCScope(params.scope)
  for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, scopes[resource])
  const saved = await grant.save()
  grants.add(saved)
  await provider.interactionFinished(req, res, { consent: { grantId: saved } }, { mergeWithLastSubmission: true })
}

async function control(req, res) {
  const command = await json(req)
  if (command.ttl) ttl = command.ttl
  if (command.reset) reset()
  if (command.revoke) {
    for (const grant of grants) {
      await provider.RefreshToken.revokeByGrantId(grant)
      await provider.Grant.adapter.destroy(grant)
    }
    grants.clear()
  }
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify({ ...counts, newestRequest }))
}

async function answer(req, res) {
  const url = new URL(req.url, endpoint)
  if (url.pathname === '/control') return control(req, res)
  if (url.pathname.startsWith('/interaction/')) return interaction(req, res)
  if (!url.pathname.startsWith('/oidc/')) return res.writeHead(404).end()
  if (url.pathname === '/oidc/auth') {
    counts.authorizations++
    newestRequest = Object.fromEntries(url.searchParams)
  }
  req.originalUrl = req.url
  req.url = req.url.slice('/oidc'.length)
  return callback(req, res)
}

reset()
server.on('request', (req, res) => {
  answer(req, res).catch(error => {
    console.error(error)
    res.writeHead(500).end(String(error))
  })
})
console.log(JSON.stringify({ endpoint }))
await text(process.stdin)
process.exit(0)
