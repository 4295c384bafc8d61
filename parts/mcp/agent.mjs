// An agent by the official MCP client of npm, over standard input and output, whose host shows no addresses: it is told to wait, waits, and
// resumes once.
// Usage: node agent.mjs COMMAND ARGUMENT…, with the record as JSON on standard input and TOCSIN_TOKEN set. Prints a JSON line a step.
import { fileURLToPath, pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const parts = process.env.TOCSIN_PARTS ?? fileURLToPath(new URL('../../.parts', import.meta.url))
const load = (file) => import(pathToFileURL(join(parts, 'mcp/node_modules/@modelcontextprotocol/client/dist', file)))
const { Client } = await load('index.mjs')
const { StdioClientTransport } = await load('stdio.mjs')

const [command, ...args] = process.argv.slice(2)
const record = JSON.parse(await text(process.stdin))
const say = (what) => console.log(JSON.stringify(what))
const client = new Client({ name: 'an-agent', version: '1.0.0' }, { capabilities: {} })
await client.connect(new StdioClientTransport({ command, args, env: { ...process.env }, stderr: 'inherit' }))
const call = async (name, more) => {
  const { structuredContent, isError } = await client.callTool({ name, arguments: more })
  return { isError: isError ?? false, ...structuredContent }
}

const blocked = await call('gate', { record })
say({ blocked })
let waited
do {
  waited = await call('approval', { approval_id: blocked.approval_id, timeoutSeconds: 10 })
} while (waited.status === 'pending')
say({ waited: waited.status })
const resume = (resume_id) => call('resume', { record, grant: waited.grant, resume_id })
say({ resumed: await resume('first') })
say({ again: await resume('first') })
say({ other: await resume('second') })
await client.close()
