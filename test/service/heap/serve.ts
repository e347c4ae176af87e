/**
 * A service and a client with its cache in a process of their own: `node --expose-gc serve.ts FOLDER`. Says its URL, then does what it is
 * told on stdin, a word a line: `ask` has the client ask for the values of `values.json` there and back, `clear` lets the client and its
 * cache go, `snapshot` collects and writes the heap.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { writeHeapSnapshot } from 'node:v8'
import { composeClient } from '../../../lib/client/compose.ts'
import { httpTransport } from '../../../lib/client/transports/http.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import { createKeyring } from '../../../service/keys/create.ts'
import { saveKeyring } from '../../../service/keys/file.ts'
import { startService } from '../../../service/start.ts'

const dir = process.argv[2] ?? ''
const keyring = join(dir, 'keys.json')
await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
const { url, close, forget } = await startService({
  keyring,
  auth: { insecureNoAuth: true },
  log: (entry) => process.stderr.write(`${JSON.stringify(entry)}\n`),
})
process.stdout.write(`${url}\n`)

let client: ReturnType<typeof composeClient> | undefined

async function ask(): Promise<void> {
  const clock = systemClock()
  client = composeClient(httpTransport({ url: `${url}/pseudonymization`, clock }), { clock, random: Math.random })
  const call = { domain: 'default', deterministic: true } as const
  const values: string[] = JSON.parse(readFileSync(join(dir, 'values.json'), 'utf8'))
  const there = await client.client.call({ ...call, direction: 'pseudonymize', values })
  await client.client.call({ ...call, direction: 'reidentify', values: there.values })
}

async function collect(): Promise<void> {
  // What requests left waiting to be let go of is let go of by later turns of the loop.
  for (let i = 0; i < 5; i++) {
    await setTimeout(20)
    ;(globalThis as unknown as { gc(): void }).gc()
  }
}

let snapshots = 0
for await (const word of createInterface({ input: process.stdin })) {
  if (word === 'ask') await ask()
  if (word === 'clear') {
    forget()
    await client?.close()
    client = undefined
  }
  if (word === 'snapshot') {
    await collect()
    writeHeapSnapshot(join(dir, `${++snapshots}.heapsnapshot`))
  }
  process.stdout.write(`${word}\n`)
}
await close()
