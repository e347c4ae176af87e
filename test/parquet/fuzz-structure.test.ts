/**
 * Broken files of every kind: an error that names its place and shows no value, or an output that other readers take and in which
 * nothing but pseudonyms stands where a protected value stood.
 *
 * `make fuzz` runs PSEUDOLAKE_FUZZ_MUTATIONS of them; PSEUDOLAKE_FUZZ_SEED begins elsewhere.
 */
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { expect, test } from 'vitest'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { Treatment } from '../../lib/parquet/index.ts'
import { type Case, generate } from '../helpers/parquet/generate.ts'
import { mutated } from '../helpers/parquet/mutate.ts'
import { Random } from '../helpers/parquet/random.ts'
import { leavesOf } from '../helpers/parquet/schema.ts'
import { duckdb, fixture, pseudonym, REPLACE, run } from './helpers.ts'

const duck = duckdb()
const MUTATIONS = Number(process.env.PSEUDOLAKE_FUZZ_MUTATIONS ?? 900)
const SEED = Number(process.env.PSEUDOLAKE_FUZZ_SEED ?? 1)
/** Broken copies of one file, before the next is made. */
const EACH = 30

/** Pseudonyms, empty strings and nulls, however nested. */
function isMapped(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true
  if (typeof value === 'string') return /^p\.[\w-]{20}$/.test(value)
  if (typeof value !== 'object') return false
  return Object.values(value).every(isMapped)
}

interface Subject {
  readonly name: string
  readonly bytes: Uint8Array
  readonly treatments: Readonly<Record<string, Treatment>>
  readonly options: Case['options']
  /** Top-level columns of one leaf, which is protected: levels of several that contradict each other are seen by who puts them together. */
  readonly columns: readonly string[]
}

/** @returns whether it was taken */
async function survives(subject: Subject, seed: number, judge: boolean): Promise<boolean> {
  const broken = mutated(subject.bytes, new Random(seed))
  const what = `${subject.name}, mutation ${seed} (${broken.how})`
  let output: Uint8Array
  try {
    output = (await run(broken.bytes, subject.treatments, subject.options)).bytes
  } catch (error) {
    if (!isPseudolakeError(error) || error.code === 'internal/bug')
      throw new Error(`${what}: ${error}`, { cause: error })
    expect(error.message, what).not.toMatch(/plain-|copied-/)
    expect(error.context.location ?? error.context.column, what).toBeDefined()
    return false
  }
  expect(Buffer.from(output).includes('plain-'), `${what}: a protected value`).toBe(false)
  if (subject.columns.length === 0) return true
  const file = output.buffer.slice(output.byteOffset, output.byteOffset + output.length) as ArrayBuffer
  // It is fast, and stricter than need be: it wants the padding of a last group of positions, which old writers cut.
  const rows = await parquetReadObjects({ file, compressors, columns: [...subject.columns] }).catch(() => undefined)
  for (const row of rows ?? []) expect(isMapped(row), what).toBe(true)
  if (judge || rows === undefined) {
    const names = subject.columns.map((name) => `"${name}"`).join(', ')
    const read = await duck.rows(output, names).catch((error: unknown) => {
      throw new Error(`${what}: DuckDB cannot read the output: ${error}`)
    })
    for (const row of read) expect(isMapped(row), what).toBe(true)
  }
  return true
}

function generated(seed: number): Subject {
  const of = generate(seed)
  const columns = of.nodes
    .filter(({ spec }) => leavesOf([spec]).length === 1 && leavesOf([spec])[0]?.spec.fate !== 'copy')
    .map((node) => node.spec.name)
  return { name: `file ${seed}`, bytes: of.bytes, treatments: of.treatments, options: of.options, columns }
}

test('no change of a structure, a length, a count, an offset or a run is a crash, a leak or a wrong value', async () => {
  let taken = 0
  for (let n = 0; n < MUTATIONS; n += EACH) {
    const subject = generated(SEED * 1_000_003 + n)
    for (let i = 0; i < EACH; i++) if (await survives(subject, SEED * 7_000_003 + n + i, i % 4 === 0)) taken++
  }
  // Both happen often, or the changes were too coarse or too fine to say anything.
  expect(taken).toBeGreaterThan(MUTATIONS / 20)
  expect(taken).toBeLessThan(MUTATIONS * 0.8)
  expect(process.resourceUsage().maxRSS).toBeLessThan(2 << 20)
}, 86_400_000)

// Found by longer runs.
test.each([
  ['a length in front of Snappy that is not the page’s', 207_001_131, 1_449_001_132],
  ['the same in another page', 212_001_266, 1_484_001_289],
])('%s is no output that other readers refuse', async (_, file, mutation) => {
  expect(await survives(generated(file), mutation, true)).toBe(false)
})

test('an encoding of levels that are not there, and that the format does not have, is not copied', async () => {
  expect(await survives(generated(209_002_097), 1_463_002_117, true)).toBe(true)
})

const FIXTURES: readonly (readonly [string, readonly string[]])[] = [
  ['writer-polars-lz4', ['vin', 'tags.list.element']],
  ['writer-polars-zstd', ['vin', 'tags.list.element']],
  ['writer-fastparquet-int96', ['vin']],
  ['writer-fastparquet-category', ['vin']],
  ['writer-clickhouse-lz4', ['vin', 'tags.list.element']],
  ['writer-clickhouse-brotli', ['vin', 'tags.list.element']],
  ['writer-spark-legacy-lz4', ['vin', 'tags.bag.array']],
  ['writer-spark-lz4raw-millis', ['vin', 'tags.list.element']],
  ['writer-hive', ['vin', 'tags.bag.array_element']],
  ['writer-java-v1-lz4', ['vin', 'tags.list.element']],
  ['writer-java-v2-zstd-split', ['vin', 'tags.list.element']],
  ['writer-java-lz4-blocks', ['vin']],
  ['spark-v2', ['text']],
  ['leak-v1-none', ['vin', 'mail']],
  ['leak-v2-zstd', ['vin', 'mail']],
  ['delta-v1', ['vin', 'mail']],
  ['delta-v2', ['vin', 'mail']],
]

test.each(FIXTURES)(
  'nor is it with a file of a writer: %s',
  async (name, protectedColumns) => {
    const subject: Subject = {
      name,
      bytes: fixture(`${name}.parquet`),
      treatments: Object.fromEntries(protectedColumns.map((path) => [path, REPLACE])),
      options: { replace: async (_, texts) => texts.map(pseudonym), codec: 'none' },
      columns: protectedColumns.map((path) => path.split('.')[0] as string),
    }
    const times = Math.ceil(MUTATIONS / 40)
    for (let i = 0; i < times; i++) await survives(subject, SEED * 9_000_011 + i, i % 4 === 0)
  },
  86_400_000,
)
