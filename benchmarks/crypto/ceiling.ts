/**
 * What two processors of this machine give: two processes that share nothing, each pinned to a processor, against one of them alone. That is the most
 * that two threads could be worth.
 *
 *   node benchmarks/crypto/ceiling.ts [--rounds 3]
 *
 * Linux, with taskset. Nanoseconds for an identifier of 17 bytes, batches of 100,000, the least and the mean of a second each.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'

const { values: flags } = parseArgs({
  options: { worker: { type: 'boolean' }, rounds: { type: 'string', default: '3' } },
})
const KINDS = ['strings forward', 'strings back', 'bytes forward', 'bytes back'] as const
const BATCH = 100_000
const MS = 1_000

interface Result {
  readonly best: number
  readonly mean: number
}

await (flags.worker ? work() : compare())

/** Does what each line asks for and answers with a line. */
async function work(): Promise<void> {
  const [secretKey, nonceKey] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(8))]
  const material = { format: 'original', id: 'orig', domain: 'default', secretKey, nonceKey, nonceStrPos: 7 } as const
  const kernel = wasmKernel(material, { randomBytes })
  const ids = Array.from({ length: BATCH }, (_, i) => i.toString(36).toUpperCase().padStart(17, 'WVWZZZ1JZX'))
  const made = kernel.pseudonymize(ids, { deterministic: true })
  const [idBytes, madeBytes] = [packTexts(ids), packTexts(made)] as [TextBatch, TextBatch]
  const works: Record<string, () => unknown> = {
    'strings forward': () => kernel.pseudonymize(ids, { deterministic: true }),
    'strings back': () => kernel.reidentify(made),
    'bytes forward': () => kernel.pseudonymizeBytes(idBytes, { deterministic: true }),
    'bytes back': () => kernel.reidentifyBytes(madeBytes),
  }
  for (const kind of KINDS) for (let i = 0; i < 10; i++) works[kind]?.()
  console.log('ready')
  for await (const kind of createInterface({ input: process.stdin })) {
    let best = Number.POSITIVE_INFINITY
    let runs = 0
    const start = performance.now()
    for (; performance.now() - start < MS; runs++) {
      const before = performance.now()
      works[kind]?.()
      best = Math.min(best, performance.now() - before)
    }
    const mean = (performance.now() - start) / runs
    console.log(JSON.stringify({ best: (best * 1e6) / BATCH, mean: (mean * 1e6) / BATCH } satisfies Result))
  }
}

async function compare(): Promise<void> {
  const [a, b] = await Promise.all([0, 1].map(pinned))
  if (!a || !b) throw new Error('unreachable')
  for (const kind of KINDS)
    for (let round = 0; round < Number(flags.rounds); round++) {
      const alone = [await a.ask(kind), await b.ask(kind)]
      const both = await Promise.all([a.ask(kind), b.ask(kind)])
      const rate = (results: readonly Result[], of: keyof Result) => results.reduce((sum, r) => sum + 1 / r[of], 0)
      const times = (of: keyof Result) => ((2 * rate(both, of)) / rate(alone, of)).toFixed(2)
      const list = (results: readonly Result[]) =>
        results.map((r) => `${Math.round(r.best)} ${Math.round(r.mean)}`).join(', ')
      console.log(
        `${kind.padEnd(16)} alone ${list(alone)}  both ${list(both)} ns: ${times('best')} times, by the mean ${times('mean')}`,
      )
    }
  a.end()
  b.end()
}

/** A process of its own on one processor. */
async function pinned(processor: number) {
  const child = spawn('taskset', ['-c', String(processor), process.execPath, import.meta.filename, '--worker'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  return {
    async ask(kind: string): Promise<Result> {
      child.stdin.write(`${kind}\n`)
      return JSON.parse(String((await lines.next()).value))
    },
    end: () => child.stdin.end(),
  }
}
