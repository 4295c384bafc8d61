// Judges recorded webhooks with libraries of npm that share no code with the sender: `standardwebhooks` for `v1`,
// `@stablelib/ed25519` for `v1a` (no published Standard Webhooks verifier knows it), `cloudevents` for envelopes, and `ajv` for the
// published schema, read so strictly that a member it does not name is a fault.
//
//   node parts/peers/judge.mjs < {"secrets": [whsec_…], "public_keys": [whpk_…], "schema", "requests": [{"headers", "body"}]}
//
// Prints one JSON line a request: {"v1": [places of the secrets that verify], "v1a": [places of the keys], "envelope", "type",
// "source", "id"}; says what is wrong with an event and exits with 1.
import { readFileSync } from 'node:fs';

import { fetched } from './fetched.mjs';

const { Webhook } = fetched('standardwebhooks');
const { verify } = fetched('@stablelib/ed25519');
const { HTTP } = fetched('cloudevents');
const Ajv = fetched('ajv/dist/2020').default;
const formats = fetched('ajv-formats').default;

const places = (list, holds) => list.map((_, i) => i).filter((i) => holds(list[i]));

function verifiesSecret(secret, { headers, body }) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function verifiesKey(key, { headers, body }) {
  const public_key = Buffer.from(key.replace(/^whpk_/, ''), 'base64');
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  const signatures = headers['webhook-signature'].split(' ').filter((s) => s.startsWith('v1a,'));
  return signatures.some((s) => verify(public_key, signed, Buffer.from(s.slice(4), 'base64')));
}

/** The event and what it came in. */
function opened({ headers, body }) {
  if (!headers['content-type'].startsWith('application/cloudevents+json')) {
    return { envelope: 'standard', source: null, id: headers['webhook-id'], event: JSON.parse(body) };
  }
  const message = { headers, body };
  const cloudEvent = HTTP.toEvent(message);
  cloudEvent.validate();
  // A round through the library: what it writes of what it read is what was sent.
  const again = JSON.parse(HTTP.structured(cloudEvent).body);
  const sent = JSON.parse(body);
  // Its clock knows milliseconds.
  sent.time = new Date(sent.time).toISOString();
  again.time = new Date(again.time).toISOString();
  for (const name of new Set([...Object.keys(sent), ...Object.keys(again)])) {
    if (JSON.stringify(sent[name]) !== JSON.stringify(again[name])) throw new Error(`${name} is read otherwise: ${again[name]}`);
  }
  const { type, data } = cloudEvent;
  return { envelope: 'cloudevents', source: cloudEvent.source, id: cloudEvent.id, event: { type, timestamp: JSON.parse(body).time, data } };
}

/** The schema with nothing allowed that it does not name. */
function strict(schema) {
  schema.unevaluatedProperties = false;
  for (const { properties } of schema.oneOf) properties.data.unevaluatedProperties = false;
  const { evidence, rule } = schema.$defs;
  for (const part of [evidence, evidence.properties.actor, evidence.properties.layers, rule]) part.additionalProperties = false;
  return schema;
}

const { secrets, public_keys, schema, requests } = JSON.parse(readFileSync(0, 'utf8'));
const ajv = new Ajv({ strict: true, strictRequired: false, strictTypes: false, allErrors: true });
formats(ajv);
const validate = ajv.compile(strict(schema));

for (const request of requests) {
  const { event, ...told } = opened(request);
  if (!validate(event)) {
    const chosen = validate.errors.filter(({ schemaPath }) => schemaPath.startsWith(`#/oneOf/${schema.oneOf.findIndex(({ title }) => title === event.type)}/`));
    console.error(JSON.stringify(event), JSON.stringify(chosen.length > 0 ? chosen : validate.errors, null, 1));
    process.exit(1);
  }
  console.log(JSON.stringify({
    v1: places(secrets, (secret) => verifiesSecret(secret, request)),
    v1a: places(public_keys, (key) => verifiesKey(key, request)),
    type: event.type,
    ...told,
  }));
}
