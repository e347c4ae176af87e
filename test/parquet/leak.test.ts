import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import { ChunkWriter, encodeDataPage, encodeDictionaryPage } from '../../lib/parquet/chunk-writer.ts'
import { plainTexts } from '../../lib/parquet/encode.ts'
import { MAGIC, serializeFooter } from '../../lib/parquet/footer.ts'
import { encodeHybrid } from '../../lib/parquet/levels.ts'
import { Output } from '../../lib/parquet/output.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { DROP, duckdb, fixture, pseudonym, REPLACE, run } from './helpers.ts'

/** Every protected value of the inputs contains this; other columns don't. */
const MARKER = 'plain-'
const duck = duckdb()

function count(bytes: Uint8Array, marker = MARKER): number {
  const text = Buffer.from(bytes).toString('latin1')
  return text.split(marker).length - 1
}

describe.each(['leak-v1-none.parquet', 'leak-v2-none.parquet'])(
  'no byte of a protected column is in the output: %s',
  (name) => {
    const input = fixture(name)

    test('the input has it in every place where a writer puts it', async () => {
      const tail = Buffer.from(input).readUInt32LE(input.length - 8)
      // Footer: statistics and key-value metadata. Before it: pages, page headers, column index.
      expect(count(input.subarray(-tail - 8))).toBeGreaterThan(10)
      expect(count(input.subarray(0, -tail - 8))).toBeGreaterThan(1000)
      const [bloom] = await duck.query(
        `SELECT count(*) AS n FROM parquet_metadata('${duck.put(input)}') WHERE bloom_filter_offset IS NOT NULL`,
      )
      expect(bloom?.n).toBe('6')
    })

    test.each([
      ['swapped and fallen back to plain pages', REPLACE],
      ['decoded', { ...REPLACE, nullable: true }],
      ['cell by cell', { ...REPLACE, perCell: true }],
      ['dropped', DROP],
    ])('%s', async (_, treatment) => {
      const { bytes } = await run(input, { vin: treatment, mail: treatment })
      expect(count(bytes)).toBe(0)
      expect(count(bytes, 'ARROW:schema') + count(bytes, 'pandas')).toBe(0)
      // The column that is copied is there in clear, so the search would have found the others.
      expect(count(bytes, 'note 3')).toBeGreaterThan(0)
      const metadata = await duck.query(
        `SELECT bloom_filter_offset, stats_min, stats_max, stats_min_value, stats_max_value, path_in_schema
       FROM parquet_metadata('${duck.put(bytes)}')`,
      )
      for (const column of metadata) {
        expect(column.bloom_filter_offset).toBeNull()
        if (['vin', 'mail'].includes(column.path_in_schema as string))
          expect([column.stats_min, column.stats_max, column.stats_min_value, column.stats_max_value]).toEqual([
            null,
            null,
            null,
            null,
          ])
      }
      expect(await duck.query(`SELECT * FROM parquet_kv_metadata('${duck.put(bytes)}')`)).toEqual([])
    })
  },
)

test('copied columns keep their null counts and bounds, for readers that skip by them', async () => {
  const { bytes } = await run('leak-v1-none.parquet', { vin: REPLACE, mail: DROP })
  const metadata = await duck.query(
    `SELECT path_in_schema AS p, stats_null_count AS nulls, stats_min_value AS lo, stats_max_value AS hi
     FROM parquet_metadata('${duck.put(bytes)}') WHERE row_group_id = 1`,
  )
  expect(metadata).toEqual([
    { p: 'id', nulls: '0', lo: '700', hi: '1399' },
    { p: 'vin', nulls: expect.any(String), lo: null, hi: null },
    { p: 'note', nulls: '0', lo: 'note 0', hi: 'note 6' },
    { p: 'score', nulls: '0', lo: '87.5', hi: '174.875' },
  ])
})

test('files of hyparquet-writer, with its statistics, indexes and metadata, leave nothing either', async () => {
  const n = 500
  const vin = Array.from({ length: n }, (_, i) => (i % 9 ? `plain-${i % 20}` : null))
  const mail = Array.from({ length: n }, (_, i) => `plain-${i}@example.org`)
  const input = new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'vin', data: vin, type: 'STRING', columnIndex: true, offsetIndex: true },
        { name: 'mail', data: mail, type: 'STRING', columnIndex: true, offsetIndex: true },
        { name: 'n', data: Array.from({ length: n }, (_, i) => i), type: 'INT32' },
      ],
      codec: 'UNCOMPRESSED',
      statistics: true,
      rowGroupSize: 200,
      kvMetadata: [{ key: 'sample', value: 'plain-value' }],
    }),
  )
  expect(count(input)).toBeGreaterThan(500)
  const { bytes } = await run(input, { vin: REPLACE, mail: { ...REPLACE, as: 's_mail' } })
  expect(count(bytes)).toBe(0)
  expect(await duck.rows(bytes)).toEqual(
    vin.map((value, i) => ({
      vin: value && pseudonym(value),
      s_mail: pseudonym(mail[i] as string),
      n: i,
    })),
  )
})

describe('a page that says it holds positions in the dictionary', () => {
  const RLE_DICTIONARY = 8
  const leaf: LeafNode = {
    kind: 'leaf',
    name: 'vin',
    path: ['vin'],
    repetition: 'required',
    physical: 'BYTE_ARRAY',
    logical: { type: 'string' },
    maxDefinitionLevel: 0,
    maxRepetitionLevel: 0,
    column: 0,
  }

  /** Two entries, two rows, and a data page whose body is `values`. */
  async function file(values: Uint8Array): Promise<Uint8Array> {
    const storage = memoryStorage()
    const writer = await storage.write('memory:/made')
    const out = new Output(writer)
    await out.write(MAGIC)
    const chunk = new ChunkWriter(out, leaf, 'none')
    await chunk.page(
      encodeDictionaryPage('none', plainTexts(packTexts([`${MARKER}1`, `${MARKER}2`]) as TextBatch), 2, false),
    )
    await chunk.page(encodeDataPage(leaf, 'none', { count: 2, encoding: RLE_DICTIONARY, values, random: false }))
    await out.write(serializeFooter([leaf], [{ rows: 2, chunks: [chunk.finish(undefined)] }], 'test'))
    await out.flush()
    await writer.close()
    return storage.read('memory:/made')
  }

  const positions = [1, ...encodeHybrid([0, 1], 1)]

  test('is copied where it is true', async () => {
    const { bytes } = await run(await file(Uint8Array.from(positions)), { vin: REPLACE })
    expect(count(bytes)).toBe(0)
    expect(await duck.query(`SELECT vin FROM '${duck.put(bytes)}'`)).toEqual([
      { vin: pseudonym(`${MARKER}1`) },
      { vin: pseudonym(`${MARKER}2`) },
    ])
  })

  test('is refused where it holds the values themselves', async () => {
    const lying = plainTexts(packTexts([`${MARKER}1`, `${MARKER}2`]) as TextBatch)
    await expect(run(await file(lying), { vin: REPLACE })).rejects.toMatchObject({ code: 'input/corrupt' })
  })

  test('loses what stands behind the last position, where no reader looks', async () => {
    const more = Buffer.concat([Uint8Array.from(positions), Buffer.from(`${MARKER}hidden`)])
    const { bytes } = await run(await file(more), { vin: REPLACE })
    expect(count(bytes)).toBe(0)
    expect(await duck.query(`SELECT count(DISTINCT vin) AS n FROM '${duck.put(bytes)}'`)).toEqual([{ n: '2' }])
  })
})
