// A relying party and an authorization server that share no code with Tocsin: the one takes logout tokens (OpenID Connect
// Back-Channel Logout 1.0), the other global token revocations (draft-parecki-oauth-global-token-revocation), and both verify what is signed with the
// `jose` library of npm against the keys that are published. No published library of npm was found that takes either.
//
//   node parts/peers/rp.mjs --issuer URL --port N --log FILE
//
// POST /logout takes `logout_token`, for the client `portal`; POST /revoke takes `{"sub_id": …}`, shown a token of the issuer or `Bearer of-a-test-0123456789`.
// FILE has one JSON line a request: {"path","claims" or "body","header"} or {"path","refused":"why"}.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import { fetched } from './fetched.mjs';

const { createRemoteJWKSet, jwtVerify } = fetched('jose');

const { values: options } = parseArgs({
  options: { issuer: { type: 'string' }, port: { type: 'string' }, log: { type: 'string' } },
});
const keys = createRemoteJWKSet(new URL(`${options.issuer}/ssf/jwks.json`), { cooldownDuration: 0 });
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';
const seen = new Set();

function once(jti) {
  if (seen.has(jti)) throw new Error('its jti was seen before');
  seen.add(jti);
}

/** Sections 2.4 and 2.6, every line of them. */
async function loggedOut(request) {
  if (request.headers['content-type'] !== 'application/x-www-form-urlencoded') throw new Error('no form');
  const form = new URLSearchParams(await text(request));
  const { payload: claims, protectedHeader: header } = await jwtVerify(form.get('logout_token'), keys, {
    issuer: options.issuer,
    audience: 'portal',
    algorithms: ['RS256'],
    typ: 'logout+jwt',
    maxTokenAge: '2 minutes',
    requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti', 'events'],
  });
  if (claims.sub === undefined && claims.sid === undefined) throw new Error('it names neither sub nor sid');
  if (JSON.stringify(claims.events) !== JSON.stringify({ [LOGOUT]: {} })) throw new Error('it is of another event');
  if ('nonce' in claims) throw new Error('it has a nonce');
  if (claims.exp - claims.iat > 120) throw new Error('it lives too long');
  once(claims.jti);
  return { claims, header };
}

async function revoked(request) {
  if (request.headers['content-type'] !== 'application/json') throw new Error('no JSON');
  const body = JSON.parse(await text(request));
  if (Object.keys(body).join() !== 'sub_id') throw new Error('it has more than a subject');
  const [, token] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  if (token === 'of-a-test-0123456789') return { body, header: {} };
  const { payload, protectedHeader: header } = await jwtVerify(token, keys, {
    issuer: options.issuer,
    subject: options.issuer,
    audience: `http://127.0.0.1:${options.port}/revoke`,
    algorithms: ['RS256'],
    typ: 'global-token-revocation+jwt',
    maxTokenAge: '5 minutes',
    requiredClaims: ['iat', 'exp', 'jti'],
  });
  once(payload.jti);
  return { body, header };
}

createServer(async (request, response) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  const record = (entry) => appendFileSync(options.log, `${JSON.stringify({ path, ...entry })}\n`);
  try {
    record(await { '/logout': loggedOut, '/revoke': revoked }[path](request));
    response.writeHead(path === '/logout' ? 200 : 204, { 'cache-control': 'no-store' }).end();
  } catch (error) {
    record({ refused: error.message });
    response.writeHead(400).end();
  }
}).listen(Number(options.port), '127.0.0.1');
