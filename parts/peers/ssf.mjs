// A Shared Signals receiver that shares no code with the transmitter: it discovers it, and verifies every token with the
// `jose` library of npm against the keys that are published.
//
//   node parts/peers/ssf.mjs --issuer URL --audience NAME --port N --log FILE    takes pushes (RFC 8935)
//   node parts/peers/ssf.mjs --issuer URL --audience NAME --check < TOKENS       prints the claims of each, one a line
//
// A push that verifies is answered 202, one that does not 400 with an `err`. FILE has one JSON line a push:
//   {"kid","claims","authorization","answered"}  or  {"refused":"why"}
// PUT /behaviour {"status":503} or {"err":"invalid_request"} tells it how to answer from now on.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import { fetched } from './fetched.mjs';

const { createRemoteJWKSet, jwtVerify } = fetched('jose');

const { values: options } = parseArgs({
  options: {
    issuer: { type: 'string' },
    audience: { type: 'string' },
    port: { type: 'string', default: '0' },
    log: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
});

const { origin, pathname } = new URL(options.issuer);
const found = await fetch(`${origin}/.well-known/ssf-configuration${pathname.replace(/\/$/, '')}`);
const metadata = await found.json();
if (metadata.issuer !== options.issuer) throw new Error(`it is ${metadata.issuer}, not ${options.issuer}`);
// A key that is not known yet is looked for at once.
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { cooldownDuration: 0 });

async function verified(token) {
  const { payload, protectedHeader } = await jwtVerify(token.trim(), keys, {
    issuer: options.issuer,
    audience: options.audience,
    algorithms: ['RS256'],
    typ: 'secevent+jwt',
    requiredClaims: ['iss', 'aud', 'iat', 'jti', 'txn', 'sub_id', 'events'],
  });
  for (const never of ['sub', 'exp']) if (never in payload) throw new Error(`it has ${never}`);
  if (Object.keys(payload.events).length !== 1) throw new Error('it does not have one event');
  return { kid: protectedHeader.kid, claims: payload };
}

if (options.check) {
  for (const token of (await text(process.stdin)).split('\n').filter(Boolean)) {
    process.stdout.write(`${JSON.stringify(await verified(token))}\n`);
  }
  process.exit(0);
}

let behaviour = {};

async function receive(request, response) {
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body));
  const record = (entry) => appendFileSync(options.log, `${JSON.stringify(entry)}\n`);
  if (request.headers['content-type'] !== 'application/secevent+jwt') return answer(415);
  const token = await text(request);
  let set;
  try {
    set = await verified(token);
  } catch (error) {
    record({ refused: error.message });
    return answer(400, { err: 'invalid_request', description: error.message });
  }
  const status = behaviour.err ? 400 : (behaviour.status ?? 202);
  record({ ...set, authorization: request.headers.authorization ?? null, answered: status });
  return answer(status, behaviour.err && { err: behaviour.err });
}

createServer(async (request, response) => {
  if (request.method === 'PUT') {
    behaviour = JSON.parse(await text(request));
    response.writeHead(204).end();
  } else {
    await receive(request, response);
  }
}).listen(Number(options.port), '127.0.0.1');
