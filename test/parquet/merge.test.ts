/** Several files as one, with rows left out: DuckDB reads what came out, and what must come out is known from the rows of the inputs. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type MergePart, mergeFiles } from '../../lib/parquet/merge.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import { planRewrite, type RewritePlan } from '../../lib/parquet/plan.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { generate, shownBy } from '../helpers/parquet/generate.ts'
import { Random } from '../helpers/parquet/random.ts'
import { CREATED_BY, duckdb, opened, run } from './helpers.ts'

const duck = duckdb()
const FILES = Number(process.env.PSEUDOLAKE_FUZZ_FILES ?? 60)
const SEED = Number(process.env.PSEUDOLAKE_FUZZ_SEED ?? 1)

interface Part {
  readonly bytes: Uint8Array
  readonly isKept?: (row: number) => boolean
}

type Nulled = NonNullable<MergePart['nulled']>

async function merged(parts: readonly Part[], asReplaced = false, nulled?: Nulled) {
  const storage = memoryStorage()
  const made: MergePart[] = []
  for (const [i, { bytes, isKept }] of parts.entries()) {
    const file = await openParquet(storage, await storage.create(`memory:/${i}.parquet`, bytes))
    let ids = 0
    const plan = planRewrite(file, new Map(), { fieldIds: () => ++ids })
    const columns = plan.columns.map((column) => ({ ...column, replaced: asReplaced }))
    made.push({ file, plan: { ...plan, columns } as RewritePlan, ...(isKept && { isKept }), ...(nulled && { nulled }) })
  }
  const writer = await storage.write('memory:/out.parquet')
  const written = await mergeFiles(made, { storage, writer, createdBy: CREATED_BY })
  return { written, bytes: written && (await storage.read('memory:/out.parquet')) }
}

test('for any schema and any pages, files put together hold the rows that stay, in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
      const of = generate(seed, { fates: ['copy'] })
      // Types are those of tables then, and stay.
      const { bytes } = await run(of.bytes, of.treatments, of.options)
      const random = new Random(seed)
      const parts = [0, 1, 3].map((share) => {
        const gone = new Set(of.expected.flatMap((_, row) => (random.below(4) < share ? [row] : [])))
        return { bytes, gone, ...(share > 0 && { isKept: (row: number) => !gone.has(row) }) }
      })
      const expected = parts.flatMap(({ gone }) => of.expected.filter((_, row) => !gone.has(row)))
      const out = await merged(parts, random.once(2))
      expect(out.written?.rows ?? 0).toBe(expected.length)
      if (out.bytes) expect(shownBy(of, await duck.rows(out.bytes))).toEqual(expected)
    }),
    { numRuns: FILES, seed: SEED },
  )
}, 36_000_000)

test('what is copied is copied to the byte: dictionaries and encodings stay', async () => {
  const input = await duck.copy("SELECT 'v' || (i % 5) AS v, i FROM range(5000) t(i)", 'ROW_GROUP_SIZE 2048')
  const { bytes } = await merged([{ bytes: input }, { bytes: input }])
  const { file } = await opened(input)
  const { file: out } = await opened(bytes as Uint8Array)
  expect(out.rowGroups.map(({ rows }) => rows)).toEqual([...file.rowGroups, ...file.rowGroups].map(({ rows }) => rows))
  for (const [g, { columns }] of out.rowGroups.entries())
    for (const [c, chunk] of columns.entries()) {
      const from = file.rowGroups[g % file.rowGroups.length]?.columns[c]
      const copy = Buffer.from(bytes as Uint8Array).subarray(chunk.start, chunk.end)
      expect(copy.equals(Buffer.from(input).subarray(from?.start, from?.end))).toBe(true)
      expect(chunk.statistics).toEqual(from?.statistics)
    }
})

test('what is deleted is nowhere in the file: not in a dictionary, not in a bound', async () => {
  const input = await duck.copy(
    "SELECT CASE WHEN i = 77 THEN 'zz-erase-me' ELSE 'v' || (i % 5) END AS v, CASE WHEN i = 77 THEN 'zz-erase-me' ELSE md5(i::VARCHAR) END AS plain FROM range(3000) t(i)",
    'COMPRESSION uncompressed',
  )
  expect(Buffer.from(input).includes('erase-me')).toBe(true)
  const { bytes, written } = await merged([{ bytes: input, isKept: (row) => row !== 77 }])
  expect(written?.rows).toBe(2999)
  expect(Buffer.from(bytes as Uint8Array).includes('erase-me')).toBe(false)
  const { file } = await opened(bytes as Uint8Array)
  expect(file.rowGroups[0]?.columns.map(({ statistics }) => statistics)).toEqual([{ nulls: 0 }, { nulls: 0 }])
  expect(file.rowGroups[0]?.columns[0]?.dictionaryPageOffset).toBeDefined()
})

test('a column of pseudonyms gets no statistics of values, whoever wrote the input', async () => {
  const input = await duck.copy("SELECT 'p' || i AS v FROM range(3000) t(i)")
  const { file: before } = await opened(input)
  expect(before.rowGroups[0]?.columns[0]?.statistics?.min).toBeDefined()
  const { bytes, written } = await merged([{ bytes: input }], true)
  const { file } = await opened(bytes as Uint8Array)
  expect(file.rowGroups.map(({ columns }) => columns[0]?.statistics)).toEqual(file.rowGroups.map(() => ({ nulls: 0 })))
  expect(written?.columns[0]).toMatchObject({ replaced: true, nulls: 0 })
  expect(written?.columns[0]).not.toHaveProperty('min')
  expect(await duck.rows(bytes as Uint8Array)).toEqual(await duck.rows(input))
})

test('where no row is left there is no file', async () => {
  const input = await duck.copy('SELECT i FROM range(10) t(i)')
  expect(await merged([{ bytes: input, isKept: () => false }])).toEqual({ written: undefined, bytes: undefined })
})

test.each(['v1', 'v2'])(
  'values become null where they stand, pages of %s, and are nowhere in the file then',
  async (version) => {
    const value = "CASE WHEN i % 7 = 3 THEN 'wrong-one' WHEN i % 11 = 0 THEN NULL ELSE 'v' || (i % 5) END"
    const input = await duck.copy(
      `SELECT ${value} AS v, CASE WHEN i = 77 THEN 'wrong-one' ELSE md5(i::VARCHAR) END AS plain, i FROM range(3000) t(i)`,
      `COMPRESSION uncompressed, PARQUET_VERSION ${version}`,
    )
    const isWrong = (bytes: Uint8Array) => Buffer.from(bytes).toString() === 'wrong-one'
    const nulled = new Map([0, 1].map((column) => [column, isWrong]))
    const { bytes } = await merged([{ bytes: input, isKept: (row) => row !== 5 }], false, nulled)
    expect(Buffer.from(bytes as Uint8Array).includes('wrong-one')).toBe(false)
    const expected = await duck.query(
      `SELECT nullif(v, 'wrong-one') v, nullif(plain, 'wrong-one') plain, i FROM read_parquet('${duck.put(input)}') WHERE i <> 5`,
    )
    expect(await duck.rows(bytes as Uint8Array)).toEqual(expected)
    await expect(merged([{ bytes: input }], false, new Map([[2, isWrong]]))).rejects.toMatchObject({
      code: 'input/unsupported',
    })
  },
)
