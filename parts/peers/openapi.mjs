// Judges an OpenAPI document, and answers of the server that it describes, with libraries of npm that share no code with it:
// `@seriousme/openapi-schema-validator` holds the document against the schema of OpenAPI 3.1, `ajv` the answers against the document's.
//
//   node parts/peers/openapi.mjs < {"document", "answers": [{"method", "path", "status", "type", "body"}]}
//
// Prints how many bodies were held against a schema; says what is wrong and exits with 1.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { fetched } from './fetched.mjs';

const found = fetched.resolve('@seriousme/openapi-schema-validator');
const { Validator } = await import(pathToFileURL(found).href);
const Ajv = fetched('ajv/dist/2020').default;
const formats = fetched('ajv-formats').default;

function fail(what, why) {
  console.error(what, JSON.stringify(why, null, 1));
  process.exit(1);
}

const { document, answers } = JSON.parse(readFileSync(0, 'utf8'));
const validator = new Validator();
const { valid, errors } = await validator.validate(structuredClone(document));
if (!valid) fail('the document', errors);
if (validator.version !== '3.1') fail('the version', validator.version);

// Every operation is named once and every parameter of a path is declared, which the schema cannot say.
for (const [path, item] of Object.entries(document.paths)) {
  const wanted = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  for (const method of ['get', 'post', 'put', 'patch', 'delete'].filter((method) => item[method])) {
    const declared = [...(item.parameters ?? []), ...(item[method].parameters ?? [])].filter((p) => p.in === 'path').map((p) => p.name).sort();
    if (`${wanted}` !== `${declared}`) fail(`${method} ${path}`, { wanted, declared });
  }
}

const ajv = new Ajv({ strict: false, allErrors: true });
formats(ajv);
ajv.addSchema(document, 'document');
const pointer = (...parts) => parts.map((part) => part.replace(/~/g, '~0').replace(/\//g, '~1')).map(encodeURIComponent).join('/');
let held = 0;
for (const { method, path, status, type, body } of answers) {
  const what = `${method} ${path} ${status} ${type}`;
  const all = document.paths[path]?.[method]?.responses ?? fail(what, 'no such operation');
  const name = all[status] ? `${status}` : 'default';
  const reference = all[name].$ref;
  const response = reference ? document.components.responses[reference.split('/').pop()] : all[name];
  if (!response.content) {
    if (body !== null) fail(what, 'a body where none is described');
    continue;
  }
  if (!response.content[type]) fail(what, { described: Object.keys(response.content) });
  const at = reference ? reference.slice(2) : pointer('paths', path, method, 'responses', name);
  const validate = ajv.getSchema(`document#/${at}/${pointer('content', type, 'schema')}`);
  if (!validate) fail(what, `no schema at ${at}`);
  if (!validate(body)) fail(what, { body, errors: validate.errors });
  held += 1;
}
console.log(held);
