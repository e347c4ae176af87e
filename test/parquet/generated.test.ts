/**
 * Rewriting is decoding, mapping and encoding: for any schema, nested too, and any layout of pages that the format allows. What must
 * come out is known from the rows that a file was made from; DuckDB and hyparquet read what did.
 *
 * `make fuzz` runs PSEUDOLAKE_FUZZ_FILES of them; PSEUDOLAKE_FUZZ_SEED begins elsewhere.
 */
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { describe, expect, test } from 'vitest'
import { scanTexts } from '../../lib/parquet/index.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { CODEC, ENC, type TestCodec } from '../helpers/parquet/encoders.ts'
import { ENCODINGS } from '../helpers/parquet/file.ts'
import { type Case, generate, shownBy } from '../helpers/parquet/generate.ts'
import type { Fate } from '../helpers/parquet/schema.ts'
import { TYPES } from '../helpers/parquet/types.ts'
import { duckdb, opened, type Row, run } from './helpers.ts'

const duck = duckdb()
const FILES = Number(process.env.PSEUDOLAKE_FUZZ_FILES ?? 60)
const SEED = Number(process.env.PSEUDOLAKE_FUZZ_SEED ?? 1)

/** The rewritten file holds what it must, for DuckDB. @returns its bytes */
async function judged(of: Case): Promise<Uint8Array> {
  const { bytes, written } = await run(of.bytes, of.treatments, of.options)
  expect(written.rows).toBe(of.expected.length)
  expect(shownBy(of, await duck.rows(bytes))).toEqual(of.expected)
  expect(Buffer.from(bytes).includes('plain-'), 'a value of a protected column').toBe(false)
  expect(Buffer.from(bytes).includes('gap-between-chunks'), 'bytes of no column').toBe(false)
  return bytes
}

test('for any schema and any pages, every cell of the output is the input’s or its pseudonym', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
      const of = generate(seed)
      await judged(of)
      const { storage, file } = await opened(of.bytes)
      for (const [leaf, texts] of of.texts) {
        const source = file.leaves.find(({ path }) => path.join('.') === leaf.path.join('.'))
        const found = new Set<string>()
        for await (const batch of scanTexts(storage, file, source as (typeof file.leaves)[0]))
          for (const text of batch.texts) found.add(text)
        expect(found, leaf.path.join('.')).toEqual(texts)
      }
    }),
    { numRuns: FILES, seed: SEED },
  )
}, 36_000_000)

const CODECS = CODEC.filter((name) => name !== 'lzo') as TestCodec[]
const FATES: Fate[] = ['copy', 'deterministic', 'random', 'nullable']
/** In the short form each type meets one codec in each version of pages. */
const FULL = FILES >= 1000

describe.each([1, 2] as const)('pages of version %s', (version) => {
  test.each(CODECS)(
    '%s: each encoding of each type, copied and mapped',
    async (codec) => {
      const turn = CODECS.indexOf(codec)
      for (const [i, type] of TYPES.entries()) {
        if (!FULL && (i + version) % CODECS.length !== turn) continue
        for (const encoding of [...ENCODINGS[type.physical], ENC.PLAIN_DICTIONARY, ENC.RLE_DICTIONARY]) {
          const dictionary = encoding === ENC.PLAIN_DICTIONARY || encoding === ENC.RLE_DICTIONARY
          if (dictionary && type.physical === 'BOOLEAN') continue
          // All pages in the dictionary, and some that fell back.
          const share = (i + version) % 2 === 0 ? 1 : 0.5
          const layout = dictionary
            ? { codec, version, dictionary: share, dictionaryEncoding: encoding }
            : { codec, version, dictionary: 0, encoding }
          const fates = FULL ? FATES : (['copy', FATES[(i + encoding + turn) % 4]] as Fate[])
          for (const fate of fates) {
            const seed = i * 100 + encoding
            await judged(generate(seed, { layout, types: [type], fates: [fate], columns: 1, depth: 0, rows: 60 }))
          }
        }
      }
    },
    3_600_000,
  )
})

test('hyparquet reads what was mapped as DuckDB does', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    // Flat columns and lists: hyparquet shows structs without fields otherwise.
    const of = generate(seed, { fates: ['deterministic', 'random', 'nullable'], depth: 0 })
    const bytes = await judged(of)
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer
    expect(await parquetReadObjects({ file, compressors }), `seed ${seed}`).toEqual(of.expected as Row[])
  }
})

testWith('pyiceberg', 'PyArrow reads what was mapped, nested as it may be, with every checksum verified', async () => {
  const files: [path: string, of: Case][] = []
  for (let seed = 1; seed <= 60; seed++) {
    const of = generate(SEED * 1000 + seed, { fates: ['deterministic', 'random', 'nullable'] })
    files.push([duck.put(await judged(of)), of])
  }
  const read = await pyiceberg<Row[][]>(
    `
import pyarrow.parquet as pq
def plain(v):
    if isinstance(v, dict): return {k: plain(x) for k, x in v.items()}
    if isinstance(v, tuple): return {'key': plain(v[0]), 'value': plain(v[1])}
    return [plain(x) for x in v] if isinstance(v, list) else v
result = []
for path in args:
    table = pq.read_table(path, page_checksum_verification=True)
    table.validate(full=True)
    result.append([plain(row) for row in table.to_pylist()])
`,
    files.map(([path]) => path),
  )
  for (const [i, [, of]] of files.entries()) expect(read[i], `seed ${of.seed}`).toEqual(of.expected)
})
