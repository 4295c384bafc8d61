// An auditor who has the public key and an export of `tocsin audit export`, and nothing of ours: checks the head's signature
// (RFC 9162 section 4.10, Ed25519) and that each entry leads to its root (section 2.1.3.2).
//
//   node parts/peers/audit.mjs PUBLIC_KEY_BASE64 < export.ndjson
//
// Prints {"tree_size","entries"}, or says what does not hold and exits with 1.
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';

const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const LEAF = Buffer.from([0]);
const NODE = Buffer.from([1]);

function signed({ timestamp, tree_size, sha256_root_hash }) {
  const numbers = Buffer.alloc(16);
  numbers.writeBigUInt64BE(BigInt(timestamp), 0);
  numbers.writeBigUInt64BE(BigInt(tree_size), 8);
  const root = Buffer.from(sha256_root_hash, 'base64');
  return Buffer.concat([numbers, Buffer.from([root.length]), root, Buffer.alloc(2)]);
}

function rootOf({ leaf_index, leaf, audit_path }, size) {
  let fn = BigInt(leaf_index);
  let sn = BigInt(size) - 1n;
  if (fn > sn) throw new Error(`leaf ${leaf_index} is not under ${size}`);
  let r = sha256(LEAF, leaf);
  for (const node of audit_path) {
    const p = Buffer.from(node, 'base64');
    if (sn === 0n) throw new Error(`the path of leaf ${leaf_index} is too long`);
    if (fn & 1n || fn === sn) {
      r = sha256(NODE, p, r);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      r = sha256(NODE, r, p);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new Error(`the path of leaf ${leaf_index} is too short`);
  return r.toString('base64');
}

const lines = readFileSync(0, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
const [{ head }, ...entries] = lines;
const key = createPublicKey({
  format: 'jwk',
  key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(process.argv[2], 'base64').toString('base64url') },
});
try {
  if (!verify(null, signed(head), key, Buffer.from(head.tree_head_signature, 'base64'))) throw new Error('the head is not signed by this key');
  for (const entry of entries) {
    if (rootOf(entry, head.tree_size) !== head.sha256_root_hash) throw new Error(`leaf ${entry.leaf_index} is not under the head`);
    if (JSON.parse(entry.leaf).seq !== entry.leaf_index + 1) throw new Error(`leaf ${entry.leaf_index} says it is another`);
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
console.log(JSON.stringify({ tree_size: head.tree_size, entries: entries.length }));
