/** The batch job against a store that has bad days: what comes of it is the right table, or a clear error and nothing. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { S3StorageOptions } from '../../lib/storage/s3/options.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { duckdb, type Lake, type LakeOutside, lake } from '../helpers/lake.ts'
import { type Asked, type FakeS3, type Fault, fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { waitlessClock } from '../iceberg/clock.ts'

const TABLE = 's3://lake/warehouse/db/t'
const SET = ['output.warehouse=s3://lake/warehouse']

interface Bucket {
  readonly home: Lake
  readonly fake: FakeS3
  readonly storage: Storage
  /** Puts the rows of a query, in row groups of so many. */
  put(name: string, query: string, rowGroup?: number): Promise<void>
  run(set?: readonly string[], outside?: LakeOutside): Promise<BatchReport>
  /** Rows of the table, in order; identifiers in the place of their pseudonyms. */
  rows(): Promise<string[]>
}

async function bucket(options: Partial<S3StorageOptions> = {}): Promise<Bucket> {
  const home = await lake()
  const fake = await fakeS3(['raw', 'lake'])
  onTestFinished(() => fake.close())
  const storage = s3Over(fake.endpoint, { clock: waitlessClock(), ...options })
  const quiet = s3Over(fake.endpoint)
  return {
    home,
    fake,
    storage,
    async put(name, query, rowGroup = 122_880) {
      await home.sql(`copy (${query}) to '{dir}/made.parquet' (row_group_size ${rowGroup})`)
      await quiet.replace(`s3://raw/in/${name}`, readFileSync(join(home.dir, 'made.parquet')))
    },
    run: (set = [], outside = {}) =>
      home.run(
        { input: 's3://raw/in/', columns: { vin: { mode: 'deterministic' } }, set: [...SET, ...set] },
        {},
        { storage, ...outside },
      ),
    async rows() {
      const fault = fake.fault
      fake.fault = undefined
      const { metadata } = await openTable(quiet, TABLE)
      const files: string[] = []
      for await (const { file } of planFiles(quiet, metadata)) {
        files.push(join(home.dir, `read-${files.length}.parquet`))
        writeFileSync(files.at(-1) as string, await quiet.read(file.path))
      }
      fake.fault = fault
      const out = join(home.dir, 'rows.json')
      const list = files.map((file) => `'${file}'`).join(', ')
      await duckdb(
        `copy (select s_vin, n from read_parquet([${list}]) order by n) to '${out}' (format json, array true)`,
      )
      const found = JSON.parse(readFileSync(out, 'utf8')) as { s_vin: string; n: number }[]
      const vins = await home.back(found.map(({ s_vin }) => s_vin))
      return found.map(({ n }, i) => `${n} ${vins[i]}`)
    },
  }
}

const rows = (from: number, to: number) =>
  `select 'vin-' || (i % 97) as vin, i as n, 'note ' || i as note from range(${from}, ${to}) r(i)`
const wanted = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${from + i} vin-${(from + i) % 97}`)

test('columns that are copied are moved by the store, and the table is that of a run on a disk', async () => {
  const { put, run, fake, home, storage } = await bucket()
  const wide =
    "select 'vin-' || (i % 97) as vin, i as n, md5(i::varchar) || md5((i * 7)::varchar) as a from range(600000) r(i)"
  await put('a.parquet', wide, 300_000)
  expect(await run()).toMatchObject({ status: 'done', rows: 600_000, gate: { passed: true } })
  const copies = fake.asked.filter(({ operation }) => operation === 'UploadPartCopy')
  expect(copies.length).toBeGreaterThan(0)
  for (const { headers } of copies) expect(headers['x-amz-copy-source-if-match']).toBeDefined()

  await home.sql(`copy (${wide}) to '{dir}/local.parquet' (row_group_size 300000)`)
  await home.run({ input: '{dir}/local.parquet', columns: { vin: { mode: 'deterministic' } } })
  const [local] = await home.query('select count(*), bit_xor(hash(s_vin, n, a))::varchar from t')
  const { metadata } = await openTable(storage, TABLE)
  for await (const { file } of planFiles(storage, metadata))
    writeFileSync(join(home.dir, 'remote.parquet'), await storage.read(file.path))
  await duckdb(
    `copy (select count(*) as n, bit_xor(hash(s_vin, n, a))::varchar as h from '${home.dir}/remote.parquet') to '${home.dir}/sum.json'`,
  )
  expect(Object.values(JSON.parse(readFileSync(join(home.dir, 'sum.json'), 'utf8'))).map(String)).toEqual(local)
}, 60_000)

test('an input is read once, whatever is looked up in it, in little memory', async () => {
  const reads = { requestBytes: 300_000, gapBytes: 1000, aheadBytes: 900_000 }
  const { put, run, fake, rows: found } = await bucket({ reads })
  const notes = 'md5(i::varchar) || md5((i * 7)::varchar) || md5((i * 11)::varchar) as note'
  await put('a.parquet', rows(0, 60_000).replace("'note ' || i as note", notes), 2048)
  const size = fake.buckets.get('raw')?.objects.get('in/a.parquet')?.content.bytes ?? 0
  expect(size).toBeGreaterThan(3 * reads.aheadBytes)
  expect(await run()).toMatchObject({ status: 'done', rows: 60_000, gate: { passed: true } })
  expect(await found()).toEqual(wanted(0, 60_000))
  const fetched = fake.asked
    .filter(({ operation, key }) => operation === 'GetObject' && key === 'in/a.parquet')
    .map(({ headers }) => /^bytes=(\d+)-(\d+)$/.exec(String(headers.range))?.slice(1).map(Number) ?? [])
    .map(([first = 0, last = 0]) => last + 1 - first)
  const bytes = fetched.reduce((sum, one) => sum + one, 0)
  // Both ends are read to open it.
  expect(bytes).toBeLessThan(size + (64 << 10) + 1024)
  expect(fetched.length).toBeLessThan(2 + 1.2 * Math.ceil(size / reads.requestBytes))
}, 60_000)

test('of many small files each is read while the one before it is rewritten, and read back by one request', async () => {
  const { put, run, fake, rows: found } = await bucket()
  for (let i = 0; i < 6; i++) await put(`${i}.parquet`, rows(1000 * i, 1000 * i + 1000))
  expect(await run()).toMatchObject({ status: 'done', rows: 6000, files: 6, gate: { passed: true } })
  expect(await found()).toEqual(wanted(0, 6000))
  const order = fake.asked.map(({ operation, key, headers }) => `${operation} ${key} ${headers.range ?? ''}`)
  const firstPut = order.findIndex((one) => /^PutObject warehouse\/db\/t\/data\//.test(one))
  for (let i = 0; i < 6; i++) {
    const size = fake.buckets.get('raw')?.objects.get(`in/${i}.parquet`)?.content.bytes ?? 0
    const whole = order.indexOf(`GetObject in/${i}.parquet bytes=0-${size - 1}`)
    expect(whole).toBeGreaterThan(0)
    expect(whole).toBeLessThan(firstPut)
  }
  // Until it is listed as finished.
  const data = /^PutObject (warehouse\/db\/t\/data\/\S+)/
  for (const [i, one] of order.entries()) {
    const key = data.exec(one)?.[1]
    if (key === undefined) continue
    const listed = order.findIndex((later, j) => j > i && later.startsWith('PutObject warehouse/_pseudolake/'))
    expect(order.slice(i + 1, listed).filter((later) => later.split(' ')[1] === key)).toEqual([
      `GetObject ${key} bytes=0-`,
    ])
  }
}, 60_000)

test('an input that is written over while it is copied ends the run, and nothing of it is published', async () => {
  const { put, run, fake } = await bucket()
  const wide = (salt: string) =>
    `select 'vin-' || (i % 97) as vin, i as n, md5(i || '${salt}') || md5(i || 'x${salt}') as a from range(400000) r(i)`
  const inputs = fake.buckets.get('raw')?.objects
  await put('a.parquet', wide('two'), 100_000)
  const other = inputs?.get('in/a.parquet')
  await put('a.parquet', wide('one'), 200_000)
  fake.fault = ({ operation }) => {
    if (operation === 'CreateMultipartUpload' && other) inputs?.set('in/a.parquet', other)
    return undefined
  }
  await expect(run()).rejects.toMatchObject({ code: 'storage/changed', context: { outcome: 'nothing-published' } })
  expect(fake.buckets.get('lake')?.uploads.size).toBe(0)
  expect(
    [...(fake.buckets.get('lake')?.objects.keys() ?? [])].filter((key) => key.startsWith('warehouse/db/')),
  ).toEqual([])
}, 60_000)

/** One request in `every` fails, in any way that requests fail; the same for the same seed. */
function badDay(seed: number, every: number): (asked: Asked) => Fault | undefined {
  let state = seed
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return ({ operation }) => {
    if (next(every) > 0) return undefined
    const faults: Fault[] = [
      { kind: 'reset' },
      { kind: 'lost' },
      { kind: 'refuse', status: 503, code: 'SlowDown' },
      { kind: 'refuse', status: 500, code: 'InternalError' },
      { kind: 'wait', ms: 20 },
      ...(operation === 'GetObject'
        ? [{ kind: 'cut', bytes: next(5000) } as const, { kind: 'short', bytes: 1 + next(500) } as const]
        : []),
      ...(operation === 'PutObject'
        ? [{ kind: 'refuse', status: 409, code: 'ConditionalRequestConflict' } as const]
        : []),
    ]
    return faults[next(faults.length)]
  }
}

test.each([1, 2, 3, 4, 5, 6])(
  'on a bad day (%i) the table comes out right',
  async (seed) => {
    const there = await bucket()
    await there.put('a.parquet', rows(0, 4000), 2048)
    await there.put('b.parquet', rows(4000, 6000), 2048)
    there.fake.fault = badDay(seed, 5)
    expect(await there.run()).toMatchObject({ status: 'done', rows: 6000, files: 2, commits: 1 })
    expect(await there.rows()).toEqual(wanted(0, 6000))
    await there.put('c.parquet', rows(6000, 7000), 512)
    expect(await there.run()).toMatchObject({ status: 'done', rows: 1000, files: 1, skipped_files: 2 })
    expect(await there.run()).toMatchObject({ status: 'nothing-to-do' })
    expect(await there.rows()).toEqual(wanted(0, 7000))
  },
  60_000,
)

test.each([11, 12, 13, 14, 15, 16, 17, 18])(
  'where nothing is tried again (%i) a run fails clearly or not at all, and the next ones make it right',
  async (seed) => {
    const there = await bucket({ retry: { attempts: 1 } })
    await there.put('a.parquet', rows(0, 2000), 2048)
    await there.put('b.parquet', rows(2000, 3000), 2048)
    there.fake.fault = badDay(seed, 8)
    let failures = 0
    for (let i = 0; i < 60; i++) {
      try {
        await there.run(['commit.max_files=1'])
        break
      } catch (error) {
        if (!isPseudolakeError(error)) throw error
        failures++
        expect(error.code).toMatch(/^(storage|table)\/(failed|unknown|conflict|commit-unknown)$/)
        expect(error.context.outcome).toMatch(/^(nothing|partly)-published$|^unknown$/)
      }
    }
    expect(failures).toBeGreaterThan(0)
    there.fake.fault = undefined
    expect((await there.run()).status).toMatch(/^(done|nothing-to-do)$/)
    expect(await there.rows()).toEqual(wanted(0, 3000))
  },
  60_000,
)

test('what a killed run had sent of a file is taken away by the run that commits next, and nobody else’s', async () => {
  const there = await bucket()
  const lakeBucket = there.fake.buckets.get('lake')
  await there.put('a.parquet', rows(0, 100))
  const begin = (key: string) => lakeBucket?.begin(key, {}, {})
  begin('warehouse/db/t/data/killed-1-00000.parquet')
  begin('warehouse/db/t/data/other-1-00000.parquet')
  begin('warehouse/db/other/data/killed-1-00000.parquet')
  await there.storage.create('s3://lake/warehouse/_pseudolake/unpublished/db.t/test/killed-1.begun', Buffer.from(''))
  await there.run()
  expect([...(lakeBucket?.uploads.values() ?? [])].map(({ key }) => key)).toEqual([
    'warehouse/db/t/data/other-1-00000.parquet',
    'warehouse/db/other/data/killed-1-00000.parquet',
  ])
})

test('who may not look for uploads leaves them, and ends as he should', async () => {
  const there = await bucket()
  await there.put('a.parquet', rows(0, 100))
  await there.storage.create('s3://lake/warehouse/_pseudolake/unpublished/db.t/test/killed-1.begun', Buffer.from(''))
  there.fake.fault = ({ operation }) =>
    operation === 'ListMultipartUploads' ? { kind: 'refuse', status: 403, code: 'AccessDenied' } : undefined
  expect(await there.run()).toMatchObject({ status: 'done' })
  const left = [...(there.fake.buckets.get('lake')?.objects.keys() ?? [])].filter((key) => key.endsWith('.begun'))
  expect(left).toEqual([])
})

test('a denial ends the run before anything is written, and says what is missing', async () => {
  const there = await bucket()
  await there.put('a.parquet', rows(0, 100))
  there.fake.fault = ({ operation, bucket: name }) =>
    operation === 'GetObject' && name === 'raw' ? { kind: 'refuse', status: 403, code: 'AccessDenied' } : undefined
  await expect(there.run()).rejects.toMatchObject({
    code: 'storage/denied',
    message: expect.stringContaining('s3:GetObject is not allowed on s3://raw/in/a.parquet'),
    context: { outcome: 'nothing-published' },
  })
  expect(there.fake.buckets.get('lake')?.objects.size).toBe(0)
})
