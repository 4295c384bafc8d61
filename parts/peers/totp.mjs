// The code an authenticator application would show now, by the `otpauth` library of npm.
//
//   node parts/peers/totp.mjs 'otpauth://totp/…' [UNIX_SECONDS]
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../.parts/peers/', import.meta.url));
const { URI } = require('otpauth');

const [address, seconds] = process.argv.slice(2);
const timestamp = seconds === undefined ? Date.now() : Number(seconds) * 1000;
process.stdout.write(`${URI.parse(address).generate({ timestamp })}\n`);
