// The code an authenticator application would show now, by the `otpauth` library of npm.
//
//   node parts/peers/totp.mjs 'otpauth://totp/…' [UNIX_SECONDS]
import { fetched } from './fetched.mjs';

const { URI } = fetched('otpauth');

const [address, seconds] = process.argv.slice(2);
const timestamp = seconds === undefined ? Date.now() : Number(seconds) * 1000;
process.stdout.write(`${URI.parse(address).generate({ timestamp })}\n`);
