// Logs a user in to Keycloak through a brokered identity provider whose issuer is Tocsin: Keycloak is then a relying party of Tocsin's, and
// takes its logout tokens. Tocsin logs nobody in, so the provider's other half stands here, and signs with the same key by the
// `jose` library of npm.
//
//   node parts/peers/broker.mjs --keycloak URL --issuer URL --key FILE --sub NAME
//
// Sets the provider `tocsin` and the client `portal` up in the realm `agents`, and prints the tokens that
// the user's application has in the end, as JSON.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createPublicKey } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import { fetched } from './fetched.mjs';

const { SignJWT, calculateJwkThumbprint, importPKCS8 } = fetched('jose');

const { values: options } = parseArgs({
  options: { keycloak: { type: 'string' }, issuer: { type: 'string' }, key: { type: 'string' }, sub: { type: 'string' } },
});
const pem = readFileSync(options.key, 'utf8');
const key = await importPKCS8(pem, 'RS256');
const kid = await calculateJwkThumbprint(createPublicKey(pem).export({ format: 'jwk' }));
const realm = `${options.keycloak}/realms/agents`;
const callback = 'http://127.0.0.1/callback';

async function expect(response, ...statuses) {
  if (!statuses.includes(response.status)) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response;
}
const form = (url, fields) => fetch(url, { method: 'POST', body: new URLSearchParams(fields) });

// The provider's other half.
let nonce;
const provider = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/authorize') {
    nonce = url.searchParams.get('nonce');
    const back = new URL(url.searchParams.get('redirect_uri'));
    back.searchParams.set('state', url.searchParams.get('state'));
    back.searchParams.set('code', 'a-code');
    response.writeHead(302, { location: back.href }).end();
    return;
  }
  await text(request);
  const id_token = await new SignJWT({
    nonce, preferred_username: options.sub, email: `${options.sub}@example.com`, email_verified: true, given_name: options.sub, family_name: 'Agent',
  })
    .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
    .setIssuer(options.issuer).setAudience('keycloak').setSubject(options.sub).setIssuedAt().setExpirationTime('5m').sign(key);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ access_token: 'opaque', token_type: 'Bearer', expires_in: 300, id_token }));
});
await new Promise((listens) => provider.listen(0, '127.0.0.1', listens));
const own = `http://127.0.0.1:${provider.address().port}`;

const admin = await expect(await form(`${realm}/protocol/openid-connect/token`, {
  grant_type: 'client_credentials', client_id: 'tocsin', client_secret: 'tocsin-secret',
}), 200);
const { access_token } = await admin.json();
const make = async (what, body) => expect(await fetch(`${options.keycloak}/admin/realms/agents/${what}`, {
  method: 'POST', headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
}), 201);
await make('identity-provider/instances', {
  alias: 'tocsin', providerId: 'oidc', enabled: true, trustEmail: true,
  config: {
    issuer: options.issuer, clientId: 'keycloak', clientSecret: 'unused', clientAuthMethod: 'client_secret_post', authorizationUrl: `${own}/authorize`,
    tokenUrl: `${own}/token`, disableUserInfo: 'true', validateSignature: 'true', useJwksUrl: 'true', jwksUrl: `${options.issuer}/ssf/jwks.json`,
    defaultScope: 'openid', backchannelSupported: 'true', syncMode: 'IMPORT',
  },
});
await make('clients', { clientId: 'portal', publicClient: true, standardFlowEnabled: true, redirectUris: [callback] });

// The user's browser.
const cookies = new Map();
let url = new URL(`${realm}/protocol/openid-connect/auth`);
url.search = new URLSearchParams({ client_id: 'portal', response_type: 'code', scope: 'openid', redirect_uri: callback, kc_idp_hint: 'tocsin' });
for (let hops = 0; !url.href.startsWith(callback); hops += 1) {
  if (hops > 20) throw new Error(`it does not end: ${url}`);
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const response = await expect(await fetch(url, { redirect: 'manual', headers: { cookie } }), 302, 303);
  for (const set of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
    cookies.set(name, value);
  }
  url = new URL(response.headers.get('location'), url);
}
const code = url.searchParams.get('code');
const tokens = await expect(await form(`${realm}/protocol/openid-connect/token`, { grant_type: 'authorization_code', client_id: 'portal', redirect_uri: callback, code }), 200);
console.log(JSON.stringify(await tokens.json()));
provider.closeAllConnections();
provider.close();
