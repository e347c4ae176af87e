/**
 * Does the kernel's time depend on secrets? After dudect (Reparaz, Balasch, Verbauwhede 2017): two classes of inputs of the same lengths,
 * measured in random order, slowest tenth dropped, compared by Welch's t-test. |t| below 4.5 is no evidence of a difference; a machine
 * with other work on it shows such values only now and then, so look at several runs.
 *
 *   node benchmarks/crypto/timing.ts [--rounds N]
 *
 * The last line is the control: a computation that does depend on its input must be found out, or the measurement sees nothing.
 */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { loadEngine } from '../../lib/crypto/wasm/engine.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20000' } } })
const ROUNDS = Number(values.rounds)
const N = 64
const BYTES = 17
const { memory, places, lengths, ...engine } = loadEngine()
const zeros = Buffer.alloc(N * 96)

const texts = (random: boolean) =>
  (random ? randomBytes(N * BYTES) : zeros.subarray(0, N * BYTES)).copy(memory, places.text)
/** What decrypts to anything: the tags are wrong in both classes, as whether one is right is told anyway. */
const sealed = (random: boolean) => {
  const bytes = random ? randomBytes(N * (BYTES + 28)) : zeros.subarray(0, N * (BYTES + 28))
  for (let i = 0; i < N; i++) {
    const text = bytes.toString('base64', i * (BYTES + 28), (i + 1) * (BYTES + 28))
    memory.write(text, places.text + i * text.length, 'latin1')
    lengths[i] = text.length
  }
  engine.unspell(N, 0, false)
}
const keys = (random: boolean) => (random ? randomBytes(N * 96) : zeros).copy(memory, places.derived)
const states = (random: boolean) => (random ? randomBytes(64) : zeros.subarray(0, 64)).copy(memory, places.macStates)

compare('HMAC, text: zeros or random', texts, () => engine.nonces(N, 0, false, -1))
compare('HMAC, key: zeros or random', states, () => engine.nonces(N, 0, false, 3))
compare('seal, text: zeros or random', texts, () => engine.seal(N, 32, 0, false))
compare('seal, keys: zeros or random', keys, () => engine.seal(N, 32, 0, false))
compare('open, text: zeros or random', sealed, () => engine.open(N, 32))
compare('open, keys: zeros or random', keys, () => engine.open(N, 32))
let sink = 0
compare('control: a branch on the text', texts, () => {
  for (let i = 0; i < N * BYTES; i++) if (memory[places.text + i] === 0) sink += Math.sqrt(i)
})
if (sink < 0) throw new Error('unreachable')

function compare(what: string, put: (random: boolean) => void, work: () => void): void {
  const classes: [number[], number[]] = [[], []]
  const coins = randomBytes(ROUNDS + 2_000)
  for (let i = 0; i < coins.length; i++) {
    const random = ((coins[i] as number) & 1) === 1
    lengths.fill(BYTES, 0, N)
    // Both classes' bytes are made, so that caches are left alike.
    put(!random)
    put(random)
    const start = process.hrtime.bigint()
    work()
    const time = Number(process.hrtime.bigint() - start)
    if (i >= 2_000) classes[random ? 1 : 0].push(time)
  }
  const cut = [...classes[0], ...classes[1]].sort((a, b) => a - b)[Math.floor(ROUNDS * 0.9)] as number
  const [a, b] = classes.map((times) => moments(times.filter((time) => time <= cut))) as [Moments, Moments]
  const t = (a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count)
  console.log(`${what.padEnd(32)} t = ${t.toFixed(2).padStart(8)}   ${a.mean.toFixed(0)} ns, ${b.mean.toFixed(0)} ns`)
}

interface Moments {
  readonly count: number
  readonly mean: number
  readonly variance: number
}

function moments(times: readonly number[]): Moments {
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length
  const variance = times.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (times.length - 1)
  return { count: times.length, mean, variance }
}
