/**
 * Pseudonyms on one thread and on two (this one and another): strings in, strings out, and bytes in, bytes out. Every result is compared with the portable kernel's
 * before anything is timed.
 *
 *   node benchmarks/crypto/kernels.ts [--json] [--quick] [--threads]      (make bench-crypto; --threads: one and two threads only)
 *
 * Nanoseconds for an identifier: the least and the median of many runs, and in brackets the least of processor time, of all threads, the
 * collector's too. Compare ratios: the machine may be busy. Where one thread and two are compared, each run ends with a turn of the event
 * loop, as in the service: V8 leaves much of the collecting to that turn, and else it would all fall to the work that waits for others.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { discard, packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { KeyMaterial, OpenKernel, PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { kernelThreads } from '../../service/operations/threads/threads.ts'

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, threads: { type: 'boolean' } },
})
/** Milliseconds of each measurement. */
const BUDGET_MS = flags.quick ? 300 : 3_000

const ORIGINAL: KeyMaterial = {
  format: 'original',
  id: 'orig',
  domain: 'default',
  secretKey: new Uint8Array(randomBytes(32)),
  nonceKey: new Uint8Array(randomBytes(8)),
  nonceStrPos: 7,
}
const V2: KeyMaterial = {
  format: 'v2',
  id: 'ab12',
  domain: 'vehicle',
  aead: new Uint8Array(randomBytes(32)),
  mac: new Uint8Array(randomBytes(32)),
}

interface Time {
  readonly best: number
  readonly median: number
  readonly cpu: number
}

interface Figure {
  readonly what: string
  readonly bytes: number
  readonly batch: number
  readonly forward: Time
  readonly back?: Time
  /** How many times as fast as these, there and back. */
  readonly times?: readonly [Time, Time]
}

const figures: Figure[] = []

const rssBefore = process.memoryUsage().rss
if (!flags.threads) {
  await measureOne()
  await measureOthers()
}
for (const [name, key] of [
  ['original', ORIGINAL],
  ['v2', V2],
] as const)
  for (const batch of [20_000, 100_000]) await measureThreads(name, key, batch)
const grown = (process.memoryUsage().rss - rssBefore) / 2 ** 20

if (flags.json)
  console.log(
    JSON.stringify({ cpu: cpus()[0]?.model, node: process.version, figures, rss_growth_mb: Math.round(grown) }),
  )
else console.log(`\n${cpus()[0]?.model}, Node ${process.version}; resident memory grew by ${Math.round(grown)} MB`)

async function measureOne(): Promise<void> {
  for (const batch of [1_000, 100_000]) await measure('original', wasmKernel, ORIGINAL, 17, batch)
  for (const batch of [1_000, 100_000]) await measure('v2', wasmKernel, V2, 17, batch)
  for (const batch of [1_000, 100_000]) await measure('original, random nonces', wasmKernel, ORIGINAL, 17, batch, false)
  for (const bytes of [1, 10, 36, 100]) await measure('original', wasmKernel, ORIGINAL, bytes, 1_000)
  await measure('original', wasmKernel, ORIGINAL, 17, 1)
}

async function measureOthers(): Promise<void> {
  await measure('noble, original', nobleKernel, ORIGINAL, 17, 1_000)
  const hmacKey = randomBytes(8)
  const texts = identifiers(17, 1_000)
  report({
    what: 'node:crypto, the HMAC alone',
    bytes: 17,
    batch: 1_000,
    forward: await time(texts.length, () => {
      for (const text of texts) createHmac('sha256', hmacKey).update(text).digest('hex')
    }),
  })
}

async function measure(
  what: string,
  open: OpenKernel,
  key: KeyMaterial,
  bytes: number,
  batch: number,
  deterministic = true,
): Promise<void> {
  const kernel = open(key, { randomBytes })
  const ids = identifiers(bytes, batch)
  const made = kernel.pseudonymize(ids, { deterministic })
  judge(key, ids, made, deterministic, what)
  same(kernel.reidentify(made), ids, what)
  report({
    what: `${what}, strings`,
    bytes,
    batch,
    forward: await time(batch, () => kernel.pseudonymize(ids, { deterministic })),
    back: await time(batch, () => kernel.reidentify(made)),
  })
  const [idBytes, madeBytes] = [packed(ids), packed(made)]
  if (deterministic) same(unpackTexts(kernel.pseudonymizeBytes(idBytes, { deterministic })), made, what)
  same(unpackTexts(kernel.reidentifyBytes(madeBytes)), ids, what)
  report({
    what: `${what}, bytes`,
    bytes,
    batch,
    forward: await time(batch, () => kernel.pseudonymizeBytes(idBytes, { deterministic })),
    back: await time(batch, () => kernel.reidentifyBytes(madeBytes)),
  })
  kernel.dispose()
}

/** One thread and two in turns, so that what else the machine does hits both. */
async function measureThreads(what: string, key: KeyMaterial, batch: number): Promise<void> {
  const threads = kernelThreads({ threads: 2, startAfter: 0 })
  const kernel = threads.wrap(wasmKernel)(key, { randomBytes })
  await threads.start()
  const ids = identifiers(17, batch)
  const there = { direction: 'pseudonymize', deterministic: true } as const
  const back = { direction: 'reidentify', deterministic: true } as const
  const made = await threads.run(kernel, ids, there)
  judge(key, ids, made, true, what)
  same(await threads.run(kernel, made, back), ids, what)
  const [idBytes, madeBytes] = [packed(ids), packed(made)]
  same(unpackTexts(await threads.runBytes(kernel, idBytes, there)), made, what)
  same(unpackTexts(await threads.runBytes(kernel, madeBytes, back)), ids, what)
  if (threads.shared < batch) throw new Error(`${what}: the other thread has made ${threads.shared} of ${4 * batch}`)
  const strings = [
    () => kernel.pseudonymize(ids, { deterministic: true }),
    () => threads.run(kernel, ids, there),
    () => kernel.reidentify(made),
    () => threads.run(kernel, made, back),
  ]
  const bytes = [
    () => kernel.pseudonymizeBytes(idBytes, { deterministic: true }),
    () => threads.runBytes(kernel, idBytes, there),
    () => kernel.reidentifyBytes(madeBytes),
    () => threads.runBytes(kernel, madeBytes, back),
  ]
  for (const [shape, works] of Object.entries({ strings, bytes })) {
    const [one, two, oneBack, twoBack] = (await timeInTurns(batch, works, true)) as [Time, Time, Time, Time]
    const of = { bytes: 17, batch }
    report({ what: `${what}, ${shape}, 1 thread`, ...of, forward: one, back: oneBack })
    report({ what: `${what}, ${shape}, 2 threads`, ...of, forward: two, back: twoBack, times: [one, oneBack] })
  }
  kernel.dispose()
  await threads.close()
}

function judge(
  key: KeyMaterial,
  ids: readonly string[],
  made: readonly string[],
  deterministic: boolean,
  what: string,
): void {
  const portable: PseudonymKernel = nobleKernel(key, { randomBytes })
  const sample = ids.slice(0, 2_000)
  if (deterministic) same(made.slice(0, 2_000), portable.pseudonymize(sample, { deterministic }), what)
  else same(portable.reidentify(made.slice(0, 2_000)), sample, what)
  portable.dispose()
}

/** Distinct; one byte leaves room for few. Flat strings, as a JSON parser or a page's decoder makes them. */
function identifiers(bytes: number, count: number): string[] {
  if (bytes === 1) return Array.from({ length: count }, (_, i) => String.fromCharCode(33 + (i % 94)))
  const texts = Array.from({ length: count }, (_, i) => i.toString(36).toUpperCase().padStart(bytes, 'WVWZZZ1JZX'))
  return JSON.parse(JSON.stringify(texts))
}

function packed(texts: readonly string[]): TextBatch {
  const batch = packTexts(texts)
  if (!batch) throw new Error('not well-formed')
  return batch
}

function same(actual: readonly string[], expected: readonly string[], what: string): void {
  const at = expected.findIndex((text, i) => text !== actual[i])
  if (at >= 0 || actual.length !== expected.length) throw new Error(`${what}: wrong result at ${at}`)
}

async function time(count: number, work: () => unknown): Promise<Time> {
  const [only] = await timeInTurns(count, [work])
  return only as Time
}

/**
 * Nanoseconds for each of `count`.
 * @param withTurn each run takes a turn of the event loop too, and what it answered is given back before the next, as its user would
 */
async function timeInTurns(count: number, works: readonly (() => unknown)[], withTurn = false): Promise<Time[]> {
  const times = works.map((work) => ({ work, runs: [] as number[], cpu: Number.POSITIVE_INFINITY }))
  // Batches so short that the clock would be measured are repeated, and more for the clock of the processor, which is coarser.
  const repeat = Math.max(1, Math.round(1_000 / count))
  const cpuRuns = Math.max(1, Math.round(50_000 / count / repeat))
  const end = performance.now() + BUDGET_MS * works.length * (withTurn ? 3 : 1)
  for (let rounds = 0; performance.now() < end || rounds < 3; rounds++) {
    // In another order each time, so that the collector's rhythm does not meet the same one always.
    if (withTurn) times.sort(() => Math.random() - 0.5)
    for (const entry of times) {
      let cpu = 0
      for (let run = 0; run < cpuRuns; run++) {
        const cpuStart = process.cpuUsage()
        const start = process.hrtime.bigint()
        let answer: unknown
        for (let i = 0; i < repeat; i++) {
          answer = entry.work()
          if (answer instanceof Promise) answer = await answer
        }
        if (withTurn) await setImmediate()
        entry.runs.push(Number(process.hrtime.bigint() - start) / count / repeat)
        const { user, system } = process.cpuUsage(cpuStart)
        cpu += user + system
        if (withTurn && !Array.isArray(answer)) discard((answer as TextBatch).bytes)
      }
      entry.cpu = Math.min(entry.cpu, (cpu * 1_000) / count / repeat / cpuRuns)
    }
  }
  return works.map((work) => {
    const { runs, cpu } = times.find((entry) => entry.work === work) as (typeof times)[0]
    runs.sort((a, b) => a - b)
    const [best = 0, median = 0] = [runs[0], runs[runs.length >> 1]]
    return { best: Math.round(best), median: Math.round(median), cpu: Math.round(cpu) }
  })
}

function report(figure: Figure): void {
  figures.push(figure)
  if (flags.json) return
  const show = (t?: Time, than?: Time) => {
    if (!t) return '–'.padStart(19)
    const times = than
      ? `: ${(than.best / t.best).toFixed(2)} times, by the median ${(than.median / t.median).toFixed(2)}`
      : ''
    return `${`${t.best} ${t.median} (${t.cpu})`.padStart(19)} ns${times}`
  }
  console.log(
    `${figure.what.padEnd(34)}${`${figure.bytes} B`.padStart(6)} × ${String(figure.batch).padEnd(7)} forward ${show(figure.forward, figure.times?.[0])}  back ${show(figure.back, figure.times?.[1])}`,
  )
}
