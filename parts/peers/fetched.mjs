// Requires from where `parts/peers.sh` put what it fetched.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const parts = process.env.TOCSIN_PARTS ?? fileURLToPath(new URL('../../.parts', import.meta.url));

export const fetched = createRequire(join(parts, 'peers', 'package.json'));
