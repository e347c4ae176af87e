import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import parquetjs from 'parquetjs-lite'
import { expect, test } from 'vitest'
import { openParquet } from '../../lib/parquet/open.ts'
import { planRewrite } from '../../lib/parquet/plan.ts'
import { rewrite } from '../../lib/parquet/rewrite.ts'
import type { ReadOptions } from '../../lib/storage/storage.ts'
import { CREATED_BY, DROP, duckdb, fixture, pseudonym, REPLACE, type Row, run, stored, treat } from './helpers.ts'

const duck = duckdb()

test.each(['leak-v1-snappy.parquet', 'leak-v2-gzip.parquet', 'leak-v1-lz4.parquet', 'delta-v2.parquet'])(
  'hyparquet agrees with DuckDB on every cell: %s',
  async (name) => {
    const { bytes } = await run(name, { vin: REPLACE, mail: { ...REPLACE, nullable: true } })
    const exact = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer
    const read = (await parquetReadObjects({ file: exact, compressors })) as Row[]
    expect(read.map((row) => ({ ...row, id: String(row.id) }))).toEqual(await duck.rows(bytes))
  },
)

test('parquetjs-lite, which knows no dictionaries, reads the columns that have none', async () => {
  const plain = { ...REPLACE, perCell: true }
  const { bytes } = await run('leak-v1-snappy.parquet', { vin: plain, mail: plain })
  const reader = await parquetjs.ParquetReader.openFile(duck.put(bytes))
  const cursor = reader.getCursor([['vin'], ['mail']])
  const old: Row[] = []
  for (let row = await cursor.next(); row; row = await cursor.next()) old.push({ vin: row.vin ?? null, mail: row.mail })
  await reader.close()
  expect(old).toEqual(await duck.rows(bytes, 'vin, mail'))
})

test('a file is read in pieces of a few megabytes, once, and never the columns that are dropped', {
  timeout: 30_000,
}, async () => {
  const input = await duck.copy(
    `SELECT 'plain-' || (hash(i) % 999) AS vin, hash(i) AS h, hash(i * 3) AS gone, md5(i::VARCHAR) AS m FROM range(400000) t(i)`,
    'ROW_GROUP_SIZE 400000, COMPRESSION uncompressed',
  )
  const { storage, object } = await stored(input)
  const reads: number[] = []
  const counting = {
    ...storage,
    read: async (location: string, options: ReadOptions = {}) => {
      expect(options.ifMatch).toBe(object.version)
      const bytes = await storage.read(location, options)
      reads.push(bytes.length)
      return bytes
    },
  }
  const file = await openParquet(counting, object)
  const plan = planRewrite(file, treat({ vin: REPLACE, gone: DROP }), { fieldIds: () => 1 })
  const writes: number[] = []
  const target = await storage.write('memory:/out.parquet')
  const writer = {
    get bytes() {
      return target.bytes
    },
    write: async (bytes: Uint8Array) => {
      writes.push(bytes.length)
      await target.write(bytes)
    },
    close: () => target.close(),
    abort: () => target.abort(),
  }
  const replace = async (_: unknown, texts: readonly string[]) => texts.map(pseudonym)
  const progress: { rows: number; bytes: number }[] = []
  const onProgress = (done: { rows: number; bytes: number }) => progress.push(done)
  await rewrite(plan, { storage: counting, file, writer, replace, createdBy: CREATED_BY, onProgress })

  const needed = file.rowGroups.flatMap((group) => group.columns.filter((_, i) => i !== 2)).map((c) => c.end - c.start)
  const total = needed.reduce((sum, n) => sum + n, 0)
  expect(total).toBeGreaterThan(15 << 20)
  expect(Math.max(...reads, ...writes)).toBeLessThanOrEqual(4 << 20)
  // The footer's tail and the head come on top; nothing is read twice but a piece of a page at the edge of a window.
  expect(reads.reduce((sum, n) => sum + n, 0)).toBeLessThan(total * 1.1 + (80 << 10))
  expect(reads.length).toBeLessThan(20)
  expect(progress.at(-1)).toEqual({ rows: 400_000, bytes: total })
})

test('a plan made for another version of the file is not executed', async () => {
  const { storage, object } = await stored(fixture('leak-v1-none.parquet'))
  const file = await openParquet(storage, object)
  const plan = planRewrite(file, treat({ vin: REPLACE }), { fieldIds: () => 1 })
  const replaced = await storage.replace(object.location, fixture('leak-v1-none.parquet'))
  const again = await openParquet(storage, replaced)
  const replace = async (_: unknown, texts: readonly string[]) => texts.map(pseudonym)
  const options = { storage, replace, createdBy: CREATED_BY }
  const writer = await storage.write('memory:/out.parquet')
  await expect(rewrite(plan, { ...options, file: again, writer })).rejects.toMatchObject({ code: 'storage/changed' })
  // The file as it was opened is gone as well: the read says so.
  const second = await storage.write('memory:/out.parquet')
  await expect(rewrite(plan, { ...options, file, writer: second })).rejects.toMatchObject({ code: 'storage/changed' })
  await expect(storage.stat('memory:/out.parquet')).rejects.toMatchObject({ code: 'storage/not-found' })
})
