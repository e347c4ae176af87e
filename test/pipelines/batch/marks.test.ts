import { randomUUID } from 'node:crypto'
import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { memoryCatalog } from '../../../lib/iceberg/catalogs/memory.ts'
import { openTable } from '../../../lib/iceberg/open.ts'
import { planFiles } from '../../../lib/iceberg/scan.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { isHeader, readChain } from '../../../pipelines/ledger-file.ts'
import { lake } from '../../helpers/lake.ts'
import { edit, inputs, stripMarks, tree, VEHICLES, VIN } from './vehicles.ts'

test('one value has one pseudonym in every file, run and table of a key', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await inputs(home, { 'c.parquet': VEHICLES })
  await home.run({ columns: VIN })
  expect(await home.query(`select count(distinct s_vin) - 1, count(*) from t`)).toEqual([['40', '3000']])
})

test('the same job with the same inputs again adds nothing, and says so', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const first = await home.run({ columns: VIN })
  const again = await home.run({ columns: VIN })
  expect(again).toMatchObject({
    status: 'nothing-to-do',
    rows: 0,
    commits: 0,
    skipped_files: 1,
    snapshot_id: first.snapshot_id,
  })
  expect(again.service.requests).toBe(1)
  // Killed between a commit and its hint, which others follow: the next run sets it right, though it commits nothing.
  const hint = join(home.table, 'metadata', 'version-hint.text')
  writeFileSync(hint, '')
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do' })
  expect(readFileSync(hint, 'utf8')).toBe('1')
  await inputs(home, { 'b.parquet': VEHICLES })
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', files: 1, skipped_files: 1, rows: 1000 })
})

test('an input that changed stops the run, or is added, or takes the place of its earlier rows', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  await home.run({ columns: VIN })
  for (const version of [1, 2, 3]) {
    await inputs(home, { 'a.parquet': `select 'x' as dept, 'NEW${version}' as vin, ${version} as n` })
    await expect(home.run({ columns: VIN })).rejects.toMatchObject({
      code: 'input/changed',
      context: { outcome: 'nothing-published' },
    })
    await home.run({ columns: VIN, set: ['input.changed=replace'] })
    expect(await home.query(`select count(*), max(n) filter (dept = 'x') from t`)).toEqual([['1001', `${version}`]])
  }
  await inputs(home, { 'a.parquet': `select 'x' as dept, 'NEW' as vin, 9 as n` })
  await home.run({ columns: VIN, set: ['input.changed=append'] })
  expect(await home.query(`select count(*) from t`)).toEqual([['1002']])
  await inputs(home, { 'a.parquet': `select 'x' as dept, 'LAST' as vin, 10 as n` })
  await home.run({ columns: VIN, set: ['input.changed=replace'] })
  expect(await home.query(`select count(*), count(*) filter (dept = 'x') from t`)).toEqual([['1001', '1']])
})

test('a key that is not the table’s stops the run before it writes, whoever has it', async () => {
  const home = await lake()
  const other = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  const before = tree(home.table)
  await inputs(home, { 'b.parquet': VEHICLES })
  const set = [`service.embedded.keyring=${other.keyring}`]
  rmSync(join(home.dir, 'in', 'b.parquet'))
  await expect(home.run({ columns: VIN, set })).rejects.toMatchObject({ code: 'table/key-changed' })
  await inputs(home, { 'b.parquet': VEHICLES })
  await expect(home.run({ columns: VIN, set })).rejects.toMatchObject({
    code: 'table/key-changed',
    context: { hint: expect.stringContaining('--allow-key-change') },
  })
  expect(tree(home.table)).toEqual(before)
  expect(await home.run({ columns: VIN, set }, { allowKeyChange: true })).toMatchObject({ status: 'done', files: 1 })
})

test.each([
  ['mode', { vin: { mode: 'random' } }],
  ['domain', { vin: { mode: 'deterministic', domain: 'people' } }],
  ['normalization', { vin: { mode: 'deterministic', normalize: ['upper'] } }],
  ['null values', { vin: { mode: 'deterministic', null_values: ['x'] } }],
])('another %s than the table was made with stops the run', async (_, columns) => {
  const home = await lake(['default', 'people'])
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await inputs(home, { 'b.parquet': VEHICLES })
  await expect(home.run({ columns })).rejects.toMatchObject({
    code: expect.stringMatching(/^table\/(key|schema)-changed$/),
  })
})

test('a table that somebody else made needs a word on what its rows are', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await stripMarks(home)
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'table/no-mark',
    context: { hint: expect.stringContaining('--adopt all') },
  })
  expect(await home.run({ columns: VIN }, { adopt: 'all' })).toMatchObject({
    status: 'done',
    rows: 0,
    skipped_files: 1,
  })
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do' })
  utimesSync(join(home.dir, 'in', 'a.parquet'), 1, 1)
  await expect(home.run({ columns: VIN, set: ['input.changed=replace'] })).rejects.toMatchObject({
    code: 'table/files-gone',
    context: { outcome: 'nothing-published' },
  })
  await stripMarks(home)
  expect(await home.run({ columns: VIN }, { adopt: 'none' })).toMatchObject({ status: 'done', rows: 1000 })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})

test.each([false, true])(
  'what is not there cannot be adopted, and nothing is read instead (plain files: %s)',
  async (plain) => {
    const home = await lake()
    await inputs(home, { 'a.parquet': VEHICLES })
    await expect(home.run({ columns: VIN, plain }, { adopt: 'all' })).rejects.toMatchObject({
      code: 'options/invalid',
      context: { outcome: 'nothing-published', hint: expect.stringContaining('without --adopt') },
    })
    expect(await home.run({ columns: VIN, plain }, { adopt: 'none' })).toMatchObject({ status: 'done', rows: 1000 })
    // There is a mark now: the word is about nothing.
    expect(await home.run({ columns: VIN, plain }, { adopt: 'all' })).toMatchObject({ status: 'nothing-to-do' })
  },
)

test.each(['all', 'none'] as const)(
  'what --adopt %s says is known the next time, though there was no input yet',
  async (adopt) => {
    const home = await lake()
    await inputs(home, { 'a.parquet': VEHICLES })
    await home.run({ columns: VIN })
    await stripMarks(home)
    const later = { adopt, modifiedSince: Date.now() + 3_600_000 }
    expect(await home.run({ columns: VIN }, later)).toMatchObject({ status: 'done', rows: 0, files: 0, commits: 1 })
    expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', files: 1 })
    expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do' })
    expect(await home.query('select count(*) from t')).toEqual([['2000']])
  },
)

test('a table that was rolled back behind its mark is not written to', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await inputs(home, { 'b.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await edit(home, (metadata) => {
    const snapshots = metadata.snapshots as { 'snapshot-id': number }[]
    const first = snapshots[0]?.['snapshot-id']
    return { ...metadata, 'current-snapshot-id': first, refs: { main: { 'snapshot-id': first, type: 'branch' } } }
  })
  await inputs(home, { 'c.parquet': VEHICLES })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'table/mark-unreadable' })
})

test('a ledger that is gone or altered stops the run', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  const ledger = tree(join(home.dir, 'warehouse', '_pseudolake'))[0] ?? ''
  const path = join(home.dir, 'warehouse', '_pseudolake', ledger)
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace('"rows":1000', '"rows":1001'))
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'table/mark-unreadable' })
  rmSync(path)
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'table/mark-unreadable' })
})

test('the run knows catalogs by their port: one in memory does as well', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const storage = localStorage()
  const catalog = memoryCatalog({
    storage,
    warehouse: join(home.dir, 'memory'),
    uuid: randomUUID,
    clock: { now: () => 0, wall: () => Date.now(), sleep: async () => {} },
  })
  expect(await home.run({ columns: VIN }, {}, { catalog })).toMatchObject({ rows: 1000 })
  expect(await home.run({ columns: VIN }, {}, { catalog })).toMatchObject({ status: 'nothing-to-do' })
})

test('many runs later the ledger is still a few files, and knows every input', async () => {
  const home = await lake()
  const runs = 70
  for (let i = 0; i < runs; i++) {
    await inputs(home, { [`${i}.parquet`]: `select 'V' as vin, ${i} as n` })
    await home.run({ columns: VIN })
  }
  const { metadata } = await openTable(localStorage(), home.table)
  const { ledger } = JSON.parse(metadata.properties['pseudolake.job.test'] as string)
  let files = 0
  let depth: number | undefined
  for await (const value of readChain(localStorage(), ledger)) {
    if (!isHeader(value)) continue
    depth ??= value.depth
    files++
  }
  expect([files, depth]).toEqual([runs - 65, runs - 66])
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do', skipped_files: runs })
  await inputs(home, { '0.parquet': `select 'W' as vin, 100 as n` })
  await home.run({ columns: VIN, set: ['input.changed=replace'] })
  expect(await home.query('select count(*), sum(n) from t')).toEqual([[`${runs}`, `${(runs * (runs - 1)) / 2 + 100}`]])
}, 60_000)

test('three successive versions of one file: each replaces exactly the rows of the one before, in one snapshot', async () => {
  const home = await lake()
  await inputs(home, { 'kept.parquet': `select 'd' as dept, 'KEPT' || i as vin, i as n from range(5) r(i)` })
  const kept = Array.from({ length: 5 }, (_, i) => ['d', `KEPT${i}`, i])
  const snapshots: string[] = []
  for (const [version, rows] of [4, 2, 7].entries()) {
    await inputs(home, {
      'a.parquet': `select 'v${version}' as dept, 'CAR' || (i + ${version}) as vin, 100 * ${version + 1} + i as n from range(${rows}) r(i)`,
    })
    const report = await home.run({ columns: VIN, set: ['input.changed=replace'] })
    expect(report).toMatchObject({ commits: 1, rows: version === 0 ? rows + 5 : rows })
    snapshots.push(...report.snapshots)
    const found = await home.query('select dept, s_vin, n from t order by n')
    const vins = await home.back(found.map((row) => row[1]))
    const now = Array.from({ length: rows }, (_, i) => [`v${version}`, `CAR${i + version}`, 100 * (version + 1) + i])
    expect(found.map(([dept, , n], i) => [dept, vins[i], Number(n)])).toEqual([...kept, ...now])
  }
  const { metadata } = await openTable(localStorage(), home.table)
  expect(metadata.snapshots.map((snapshot) => String(snapshot['snapshot-id']))).toEqual(snapshots)
  expect(metadata.snapshots.map(({ summary }) => [summary?.operation, summary?.['total-records']])).toEqual([
    ['append', '9'],
    ['overwrite', '7'],
    ['overwrite', '12'],
  ])
  // What was there before is there still, for whoever asks for the snapshot of then.
  const rowsThen: number[] = []
  for (const id of snapshots) {
    let rows = 0
    for await (const { file } of planFiles(localStorage(), metadata, BigInt(id))) rows += file.rows
    rowsThen.push(rows)
  }
  expect(rowsThen).toEqual([9, 7, 12])
})

test.each([
  ['another mode', { vin: { mode: 'random' } }, 'table/schema-changed', /new table/],
  ['another domain', { vin: { mode: 'deterministic', domain: 'people' } }, 'table/key-changed', /--allow-key-change/],
  [
    'another normalization',
    { vin: { mode: 'deterministic', normalize: ['upper'] } },
    'table/key-changed',
    /--allow-key-change|new table/,
  ],
  ['a column left out', { ...VIN, dept: { mode: 'drop' } }, 'table/schema-changed', /new table/],
  ['another name', { vin: { mode: 'deterministic', as: 'car' } }, 'table/schema-changed', /new table/],
])(
  '%s stops the run before anything is written, and the error says what resolves it',
  async (_, columns, code, hint) => {
    const home = await lake(['default', 'people'])
    await inputs(home, { 'a.parquet': VEHICLES })
    await home.run({ columns: VIN })
    await inputs(home, { 'b.parquet': VEHICLES })
    const before = tree(join(home.dir, 'warehouse'))
    await expect(home.run({ columns })).rejects.toMatchObject({
      code,
      context: { outcome: 'nothing-published', hint: expect.stringMatching(hint) },
    })
    expect(tree(join(home.dir, 'warehouse'))).toEqual(before)
  },
)

test('a column whose type no longer fits the table stops the run before anything is written', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  rmSync(join(home.dir, 'in'), { recursive: true })
  await inputs(home, { 'b.parquet': `select dept, vin, n::varchar as n from (${VEHICLES})` })
  const before = tree(join(home.dir, 'warehouse'))
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'table/schema-changed' })
  expect(tree(join(home.dir, 'warehouse'))).toEqual(before)
})
