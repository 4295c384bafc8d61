// oidc-provider, an OpenID-certified authorization server, with agents and a client that may end and see tokens of others.
// Usage: node provider.mjs PORT [WHERE TO PING]. Everything is in memory.
//
// It asks people by CIBA: `approvals` polls, `approvals-ping` is pinged. What a person's app would show is at `GET /people`; `POST /people` with
// `{"id", "yes", "acr"}` is the press of a button there.
import { fileURLToPath, pathToFileURL } from 'node:url'
import { join } from 'node:path'

const parts = process.env.TOCSIN_PARTS ?? fileURLToPath(new URL('../../.parts', import.meta.url))
const { default: Provider, errors } = await import(pathToFileURL(join(parts, 'oidc/node_modules/oidc-provider/lib/index.js')))

const [port, ping] = process.argv.slice(2)
const client = (client_id) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_post',
})
const asks = (client_id, mode) => ({
  ...client(client_id),
  grant_types: ['urn:openid:params:grant-type:ciba'],
  backchannel_token_delivery_mode: mode,
  ...(mode === 'ping' ? { backchannel_client_notification_endpoint: ping.replace('http:', 'https:') } : {}),
})
const asked = []
// Who may end and see a token: its own client, and those that watch over all.
const overseer = (ctx, token) => ['tocsin', 'checker', token.clientId].includes(ctx.oidc.client.clientId)
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('billing-agent'), client('checker'), client('tocsin'), asks('approvals', 'poll'), ...(ping ? [asks('approvals-ping', 'ping')] : [])],
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  acrValues: ['phr', 'pwd'],
  // It pings public addresses with https alone; here nobody has one.
  fetch: (url, { dispatcher: _public, ...options }) => fetch(String(url).replace('https:', 'http:'), options),
  features: {
    ciba: {
      enabled: true,
      deliveryModes: ['poll', 'ping'],
      processLoginHint: (_ctx, hint) => (hint.endsWith('@example.com') ? `sub-of-${hint}` : undefined),
      validateRequestContext: () => {},
      verifyUserCode: () => {},
      triggerAuthenticationDevice: (_ctx, request, account) => {
        const { binding_message, acr_values, requested_expiry } = request.params
        asked.push({ id: request.jti, sub: account.accountId, binding_message, acr_values, requested_expiry })
      },
    },
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, _client, token) => overseer(ctx, token) },
    revocation: { enabled: true, allowedPolicy: (ctx, _client, token) => overseer(ctx, token) },
  },
  ttl: { ClientCredentials: 3600 },
})
provider.use(async (ctx, next) => {
  if (ctx.path !== '/people') return next()
  if (ctx.method === 'GET') {
    ctx.body = asked
    return
  }
  const chunks = []
  for await (const chunk of ctx.req) chunks.push(chunk)
  const { id, yes, acr } = JSON.parse(Buffer.concat(chunks))
  const request = await provider.BackchannelAuthenticationRequest.find(id)
  const now = Math.floor(Date.now() / 1000)
  if (yes) {
    const grant = new provider.Grant({ clientId: request.clientId, accountId: request.accountId })
    grant.addOIDCScope('openid')
    await grant.save()
    await provider.backchannelResult(request, grant, { acr, amr: ['pop', 'user'], authTime: now })
  } else {
    await provider.backchannelResult(request, new errors.AccessDenied('the person said no'))
  }
  ctx.status = 204
})
provider.on('server_error', (_ctx, error) => console.error(error))
provider.listen(Number(port), '127.0.0.1', () => console.log('listens'))
