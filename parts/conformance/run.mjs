// Runs scenarios of the conformance suite against a server that asks for a credential, which the suite cannot bring: it talks to a door on
// this machine that adds it and passes everything else on as it is.
// Usage: node run.mjs SUITE URL SCENARIO…, with TOCSIN_TOKEN set. Prints a JSON line a scenario: its name, whether all checks hold, and them.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const [suite, url, ...scenarios] = process.argv.slice(2)
const to = new URL(url)
const door = createServer((asked, answer) => {
  const headers = { ...asked.headers, authorization: `Bearer ${process.env.TOCSIN_TOKEN}` }
  const { method, url: path } = asked
  const passed = request({ host: to.hostname, port: to.port, method, path, headers }, (told) => {
    answer.writeHead(told.statusCode, told.headers)
    told.pipe(answer)
  })
  passed.on('error', () => answer.destroy())
  asked.pipe(passed)
})
await new Promise((listening) => door.listen(0, '127.0.0.1', listening))
const at = `http://127.0.0.1:${door.address().port}${to.pathname}`
for (const wanted of scenarios) {
  const [scenario, version] = wanted.split('@')
  const out = mkdtempSync(join(tmpdir(), 'conformance-'))
  const args = [suite, 'server', '--url', at, '--scenario', scenario, '-o', out]
  if (version) args.push('--spec-version', version)
  const { ok, said } = await promisify(execFile)(process.execPath, args).then(
    ({ stdout }) => ({ ok: true, said: stdout }),
    ({ stdout, stderr }) => ({ ok: false, said: stdout + stderr }),
  )
  const found = readdirSync(out, { recursive: true }).filter((name) => name.endsWith('checks.json'))
  const checks = found.flatMap((name) => JSON.parse(readFileSync(join(out, name), 'utf8')))
  rmSync(out, { recursive: true })
  const short = checks.map(({ id, status, errorMessage }) => ({ id, status, errorMessage }))
  console.log(JSON.stringify({ scenario: wanted, ok, checks: short, ...(ok ? {} : { said }) }))
}
door.close()
