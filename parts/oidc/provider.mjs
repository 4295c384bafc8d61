// oidc-provider, an OpenID-certified authorization server, with agents and a client that may end and see tokens of others.
// Usage: node provider.mjs PORT. Everything is in memory.
import { fileURLToPath, pathToFileURL } from 'node:url'
import { join } from 'node:path'

const parts = process.env.TOCSIN_PARTS ?? fileURLToPath(new URL('../../.parts', import.meta.url))
const { default: Provider } = await import(pathToFileURL(join(parts, 'oidc/node_modules/oidc-provider/lib/index.js')))

const [port] = process.argv.slice(2)
const client = (client_id) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_post',
})
// Who may end and see a token: its own client, and those that watch over all.
const overseer = (ctx, token) => ['tocsin', 'checker', token.clientId].includes(ctx.oidc.client.clientId)
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('billing-agent'), client('checker'), client('tocsin')],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, _client, token) => overseer(ctx, token) },
    revocation: { enabled: true, allowedPolicy: (ctx, _client, token) => overseer(ctx, token) },
  },
  ttl: { ClientCredentials: 3600 },
})
provider.on('server_error', (_ctx, error) => console.error(error))
provider.listen(Number(port), '127.0.0.1', () => console.log('listens'))
