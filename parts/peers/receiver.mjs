// A webhook receiver that shares no code with the sender: it verifies with the `standardwebhooks` library of npm.
//
//   RECEIVER_SECRET=whsec_… node parts/peers/receiver.mjs [--port N] [--log FILE] [--whole]
//
// It listens on loopback and says so in its first line on standard output: {"listening":PORT}. After that, one JSON line a
// delivery, on standard output and, synced to disk before the answer, at the end of FILE:
//   {"webhook_id","webhook_timestamp","received_ms","type","timestamp","data","answered"}   verified
//   {"refused":"why","webhook_id"}                                           not verified, answered 401
// With `--whole` and no secret nothing is verified here and each request is kept whole for `judge.mjs`:
//   {"webhook_id","headers","body","answered"}
// `received_ms` is the receiver's clock when the request was whole, milliseconds since 1970; `answered` is the status it
// gave, or "hang" or "close" where it gave none.
//
// PUT /behaviour tells it how to answer from now on, so that a test can play a hostile peer:
//   {"status":429,"retry_after":2}   any status, with or without Retry-After (seconds)
//   {"hang":true}                    takes the request and never answers
//   {"close":true}                   takes the request and drops the connection
//   "times":N beside any of these    only for the next N deliveries, then 204 again
import { appendFileSync, closeSync, fsyncSync, openSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { fetched } from './fetched.mjs';

const { Webhook } = fetched('standardwebhooks');

const BODY_BYTES_MAX = 1 << 20;
const GOOD = { status: 204 };

const { values: options } = parseArgs({
  options: { port: { type: 'string', default: '0' }, log: { type: 'string' }, whole: { type: 'boolean', default: false } },
});
if (!options.whole && !process.env.RECEIVER_SECRET) {
  console.error('RECEIVER_SECRET is not set: the secret that the sender signs with, whsec_…');
  process.exit(64);
}
const verifier = options.whole ? undefined : new Webhook(process.env.RECEIVER_SECRET);
const log = options.log === undefined ? undefined : openSync(options.log, 'a');
let behaviour = GOOD;

function record(entry) {
  const line = JSON.stringify(entry) + '\n';
  if (log !== undefined) {
    appendFileSync(log, line);
    fsyncSync(log);
  }
  process.stdout.write(line);
}

function nextBehaviour() {
  const now = behaviour;
  if (now.times !== undefined && --now.times <= 0) behaviour = GOOD;
  return now;
}

async function bodyOf(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`body over ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function behave(body, response) {
  behaviour = { ...GOOD, ...JSON.parse(body) };
  response.writeHead(204).end();
}

function receive(headers, body, response) {
  const receivedMs = performance.timeOrigin + performance.now();
  if (verifier === undefined) {
    const how = nextBehaviour();
    record({ webhook_id: headers['webhook-id'], headers, body: body.toString(), answered: how.status });
    response.writeHead(how.status).end();
    return;
  }
  let event;
  try {
    event = verifier.verify(body, headers);
  } catch (error) {
    record({ refused: error.message, webhook_id: headers['webhook-id'] ?? null });
    response.writeHead(401).end();
    return;
  }
  const how = nextBehaviour();
  record({
    webhook_id: headers['webhook-id'],
    webhook_timestamp: Number(headers['webhook-timestamp']),
    received_ms: receivedMs,
    type: event.type,
    timestamp: event.timestamp,
    data: event.data,
    answered: how.hang ? 'hang' : how.close ? 'close' : how.status,
  });
  if (how.hang) return;
  if (how.close) {
    response.destroy();
    return;
  }
  response.writeHead(how.status, how.retry_after === undefined ? {} : { 'retry-after': String(how.retry_after) }).end();
}

const server = createServer(async (request, response) => {
  try {
    const body = await bodyOf(request);
    if (request.method === 'PUT' && request.url === '/behaviour') behave(body, response);
    else if (request.method === 'POST') receive(request.headers, body, response);
    else response.writeHead(405).end();
  } catch (error) {
    response.writeHead(400).end(`${error.message}\n`);
  }
});

function end() {
  if (log !== undefined) closeSync(log);
  process.exit(0);
}
process.on('SIGTERM', end);
process.on('SIGINT', end);

server.listen(Number(options.port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ listening: server.address().port })}\n`);
});
