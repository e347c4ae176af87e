/**
 * Pseudonyms on one thread: strings in, strings out. Every result is compared with the portable kernel's before anything is timed.
 *
 *   node benchmarks/crypto/kernels.ts [--json] [--quick]      (make bench-crypto)
 *
 * Nanoseconds for an identifier: the least of many runs, and the median beside it. Compare ratios: the machine may be busy.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { KeyMaterial, OpenKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'

const { values: flags } = parseArgs({ options: { json: { type: 'boolean' }, quick: { type: 'boolean' } } })
/** Milliseconds of each measurement. */
const BUDGET_MS = flags.quick ? 300 : 2_000

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

interface Figure {
  readonly what: string
  readonly bytes: number
  readonly batch: number
  readonly forward: { readonly best: number; readonly median: number }
  readonly back?: { readonly best: number; readonly median: number }
}

const figures: Figure[] = []

const rssBefore = process.memoryUsage().rss
for (const batch of [1_000, 100_000]) measure('wasm, original', wasmKernel, ORIGINAL, 17, batch)
for (const batch of [1_000, 100_000]) measure('wasm, v2', wasmKernel, V2, 17, batch)
measure('wasm, original, random nonces', wasmKernel, ORIGINAL, 17, 1_000, false)
for (const bytes of [1, 10, 36, 100]) measure('wasm, original', wasmKernel, ORIGINAL, bytes, 1_000)
measure('wasm, original', wasmKernel, ORIGINAL, 17, 1)
measure('noble, original', nobleKernel, ORIGINAL, 17, 1_000)
const hmacKey = randomBytes(8)
const texts = identifiers(17, 1_000)
report({
  what: 'node:crypto, the HMAC alone',
  bytes: 17,
  batch: 1_000,
  forward: time(texts.length, () => {
    for (const text of texts) createHmac('sha256', hmacKey).update(text).digest('hex')
  }),
})
const grown = (process.memoryUsage().rss - rssBefore) / 2 ** 20

if (flags.json)
  console.log(
    JSON.stringify({ cpu: cpus()[0]?.model, node: process.version, figures, rss_growth_mb: Math.round(grown) }),
  )
else console.log(`\n${cpus()[0]?.model}, Node ${process.version}; resident memory grew by ${Math.round(grown)} MB`)

function measure(what: string, open: OpenKernel, key: KeyMaterial, bytes: number, batch: number, deterministic = true) {
  const kernel = open(key, { randomBytes })
  const judge = nobleKernel(key, { randomBytes })
  const ids = identifiers(bytes, batch)
  const made = kernel.pseudonymize(ids, { deterministic })
  const sample = ids.slice(0, 2_000)
  const expected = deterministic
    ? judge.pseudonymize(sample, { deterministic })
    : judge.reidentify(made.slice(0, 2_000))
  same(deterministic ? made.slice(0, 2_000) : sample, expected, what)
  same(kernel.reidentify(made), ids, what)
  report({
    what,
    bytes,
    batch,
    forward: time(batch, () => kernel.pseudonymize(ids, { deterministic })),
    back: time(batch, () => kernel.reidentify(made)),
  })
  kernel.dispose()
  judge.dispose()
}

/** Distinct; one byte leaves room for few. */
function identifiers(bytes: number, count: number): string[] {
  if (bytes === 1) return Array.from({ length: count }, (_, i) => String.fromCharCode(33 + (i % 94)))
  return Array.from({ length: count }, (_, i) => i.toString(36).toUpperCase().padStart(bytes, 'WVWZZZ1JZX'))
}

function same(actual: readonly string[], expected: readonly string[], what: string): void {
  const at = expected.findIndex((text, i) => text !== actual[i])
  if (at >= 0 || actual.length !== expected.length) throw new Error(`${what}: wrong result at ${at}`)
}

/** Nanoseconds for each of `count`. */
function time(count: number, work: () => void): { best: number; median: number } {
  const runs: number[] = []
  const end = performance.now() + BUDGET_MS
  // Batches so short that the clock would be measured are repeated.
  const repeat = Math.max(1, Math.round(1_000 / count))
  while (performance.now() < end || runs.length < 5) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < repeat; i++) work()
    runs.push(Number(process.hrtime.bigint() - start) / count / repeat)
  }
  runs.sort((a, b) => a - b)
  return { best: Math.round(runs[0] ?? 0), median: Math.round(runs[runs.length >> 1] ?? 0) }
}

function report(figure: Figure): void {
  figures.push(figure)
  if (flags.json) return
  const show = (t?: { best: number; median: number }) => (t ? `${t.best} (${t.median})` : '–').padStart(15)
  console.log(
    `${figure.what.padEnd(32)}${`${figure.bytes} B`.padStart(6)} × ${String(figure.batch).padEnd(7)} forward ${show(figure.forward)} ns  back ${show(figure.back)} ns`,
  )
}
