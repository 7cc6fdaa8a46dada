// An OpenID provider made of the engine that Logto is built on, configured as
// Logto configures it. It serves a fixed set of clients, users, resources and
// organizations on a free port of the loopback interface.
//
// It prints one JSON object per line: first where it listens, then the answer
// to each command. A command is a JSON object on a line of standard input:
// {"rotate": "ES384"} or {"rotate": "RS256"}. It ends with its standard input.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider, { errors } from 'oidc-provider';

const organizationURN = 'urn:logto:organization:';
const api = 'https://api.example.com';

// What may be granted, by resource; an API has permissions of its own in an
// organization.
const scopes = {
  [api]: 'read:products write:orders',
  [`${organizationURN}acme`]: 'read:members invite:member',
  [`${organizationURN}globex`]: 'read:members',
};
const apiScopesIn = { acme: 'read:products', globex: '' };

const organizationsOf = { alice: ['acme', 'globex'], machine: ['acme'] };

const clients = [
  {
    client_id: 'machine',
    client_secret: 'machine-secret',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  },
  {
    client_id: 'browser',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://app.example.com/callback'],
  },
];

function newKey(alg) {
  const { privateKey } = alg === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-384' });
  // Logto publishes RSA keys without `alg`: they serve six algorithms.
  return { alg, jwk: { ...privateKey.export({ format: 'jwk' }), use: 'sig' } };
}

// Logto issues an organization token where the client names an organization
// and no resource.
function requestedOrganization(ctx) {
  return ctx.oidc.body?.organization_id;
}

function configuration(keys) {
  return {
    clients,
    jwks: { keys: keys.map((key) => key.jwk) },
    scopes: ['openid', 'offline_access', ...new Set(Object.values(scopes).join(' ').split(' '))],
    clientDefaults: { id_token_signed_response_alg: keys[0].alg },
    // Every client was registered for the algorithm that has since rotated.
    enabledJWA: { idTokenSigningAlgValues: ['ES384', 'RS256'] },
    cookies: { keys: ['only for tests'] },
    ttl: { AccessToken: 3600, ClientCredentials: 3600 },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource(ctx, _client, granted) {
          const organization = requestedOrganization(ctx);
          return organization ? organizationURN + organization : granted?.[0];
        },
        useGrantedResource: () => true,
        getResourceServerInfo(ctx, resource) {
          const organization = resource === api ? requestedOrganization(ctx) : undefined;
          return {
            audience: resource,
            scope: organization ? apiScopesIn[organization] : scopes[resource],
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: keys[0].alg } },
          };
        },
      },
    },
    extraTokenClaims(ctx, token) {
      const organization = requestedOrganization(ctx);
      if (!organization) return undefined;
      const member = token.accountId ?? token.clientId;
      if (!organizationsOf[member]?.includes(organization)) {
        throw new errors.AccessDenied(`${member} does not belong to ${organization}`);
      }
      // In an organization token the audience alone names the organization.
      return token.aud === api ? { organization_id: organization } : undefined;
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  };
}

const server = createServer();
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const endpoint = `http://127.0.0.1:${server.address().port}`;

let keys = [];
let provider;
let callback;

// Logto's immediate rotation: the new key signs at once, the one before it
// stays in the set, older ones are gone.
function rotate(alg) {
  keys = [newKey(alg), ...keys.slice(0, 1)];
  provider = new Provider(`${endpoint}/oidc`, configuration(keys));
  provider.on('server_error', (_ctx, error) => console.error(error));
  callback = provider.callback();
}

async function answer(req, res) {
  if (req.url.startsWith('/interaction/')) {
    await signIn(req, res);
    return;
  }
  if (!req.url.startsWith('/oidc/')) {
    res.writeHead(404).end();
    return;
  }
  req.originalUrl = req.url;
  req.url = req.url.slice('/oidc'.length);
  callback(req, res);
}

// signIn lets alice in and consents in her name to all that was asked for.
async function signIn(req, res) {
  const { params } = await provider.interactionDetails(req, res);
  const grant = new provider.Grant({ accountId: 'alice', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  for (const resource of [params.resource ?? []].flat()) {
    grant.addResourceScope(resource, params.scope);
  }
  const grantId = await grant.save();
  await provider.interactionFinished(req, res, { login: { accountId: 'alice' }, consent: { grantId } });
}

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

rotate('ES384');
server.on('request', answer);
say({ endpoint, issuer: provider.issuer });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  rotate(command.rotate);
  say({ rotated: command.rotate });
}
process.exit(0);
