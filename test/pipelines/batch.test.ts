import { randomUUID } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Client } from '../../lib/client/compose.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { isHeader, readChain } from '../../pipelines/ledger-file.ts'
import { type Lake, lake } from '../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }
const VEHICLES = `select 'd' || (i % 5) as dept, case when i % 7 = 0 then null when i % 11 = 0 then '' else 'VIN' || (i % 40) end as vin, i as n from range(1000) r(i)`

/** DuckDB does not make folders. */
async function inputs(home: Lake, files: Record<string, string>): Promise<void> {
  for (const [name, select] of Object.entries(files)) {
    const path = join(home.dir, 'in', name)
    mkdirSync(join(path, '..'), { recursive: true })
    await home.sql(`copy (${select}) to '${path}' (format parquet, row_group_size 200)`)
  }
}

test('the sensitive column is replaced in its place, nulls and empties stay, everything else is as it was', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({
    status: 'done',
    rows: 1000,
    files: 1,
    skipped_files: 0,
    commits: 1,
    distinct: 40,
    distinct_exact: true,
  })
  expect(report.service).toMatchObject({ requests: 2, retries: 0, throttled: 0 })
  const described = await home.query('select column_name from (describe t)')
  expect(described.flat()).toEqual(['dept', 's_vin', 'n'])
  const rows = await home.query('select dept, s_vin, n from t order by n')
  const vins = await home.back(rows.map((row) => row[1]))
  expect(rows.map(([dept, , n], i) => [dept, vins[i], Number(n)])).toEqual(
    Array.from({ length: 1000 }, (_, i) => [`d${i % 5}`, i % 7 === 0 ? null : i % 11 === 0 ? '' : `VIN${i % 40}`, i]),
  )
})

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

test('a file that was only touched, or copied over with the same bytes, counts as changed: content is not guessed', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  utimesSync(join(home.dir, 'in', 'a.parquet'), new Date(), new Date(Date.now() + 5000))
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'input/changed' })
})

test('steps are published one by one', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  expect(await home.run({ columns: VIN, set: ['commit.max_files=2'] })).toMatchObject({
    commits: 3,
    files: 5,
    rows: 5000,
  })
  expect(await home.query(`select count(*) from t`)).toEqual([['5000']])
})

test('an input without rows is done, and makes a table without rows', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `${VEHICLES} limit 0` })
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', rows: 0, files: 1 })
  expect(await home.query('select count(*), count(s_vin) from t')).toEqual([['0', '0']])
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do' })
})

test('several columns, nested ones, and what is left out', async () => {
  const home = await lake(['default', 'people'])
  await inputs(home, {
    'a.parquet': `select i as id, {'name': 'N' || (i % 3), 'age': i} as person, ['T' || (i % 4), null, ''] as tags,
      [{'vin': 'V' || i, 'km': i}] as trips, map {'K' || (i % 2): 'M' || i} as attrs, 'secret' as note from range(50) r(i)`,
  })
  const report = await home.run({
    columns: {
      'person.name': { mode: 'deterministic', domain: 'people' },
      tags: { mode: 'deterministic' },
      'trips.vin': { mode: 'deterministic', as: 'car' },
      'attrs.value': { mode: 'deterministic' },
      note: { mode: 'drop' },
    },
  })
  expect(report.columns).toMatchObject([
    { column: 'id', action: 'copied', as: 'id' },
    { column: 'person.name', action: 'replaced', as: 'person.s_name', mode: 'deterministic', domain: 'people' },
    { column: 'person.age', action: 'copied', as: 'person.age' },
    { column: 'tags.element', action: 'replaced', as: 's_tags.element', mode: 'deterministic', domain: 'default' },
    {
      column: 'trips.element.vin',
      action: 'replaced',
      as: 'trips.element.car',
      mode: 'deterministic',
      domain: 'default',
    },
    { column: 'trips.element.km', action: 'copied', as: 'trips.element.km' },
    { column: 'attrs.key', action: 'copied', as: 's_attrs.key' },
    { column: 'attrs.value', action: 'replaced', as: 's_attrs.value', mode: 'deterministic', domain: 'default' },
    { column: 'note', action: 'dropped' },
  ])
  const rows = await home.query(
    `select id, person.s_name, person.age, s_tags[1], s_tags[2], s_tags[3], len(s_tags), trips[1].car, trips[1].km, map_keys(s_attrs)[1], map_values(s_attrs)[1] from t order by id`,
  )
  const names = await home.back(
    rows.map((row) => row[1]),
    'people',
  )
  const [tags, cars, values] = await Promise.all([3, 7, 10].map((i) => home.back(rows.map((row) => row[i]))))
  expect(
    rows.map((row, i) => [
      row[0],
      names[i],
      row[2],
      tags?.[i],
      row[4],
      row[5],
      row[6],
      cars?.[i],
      row[8],
      row[9],
      values?.[i],
    ]),
  ).toEqual(
    Array.from({ length: 50 }, (_, i) => [
      `${i}`,
      `N${i % 3}`,
      `${i}`,
      `T${i % 4}`,
      null,
      '',
      '3',
      `V${i}`,
      `${i}`,
      `K${i % 2}`,
      `M${i}`,
    ]),
  )
})

test('files whose writers name the inside of a list `element` and `item` go into one table', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select ['T' || i, null, ''] as tags, i + 1000 as n from range(50) r(i)` })
  copyFileSync('test/fixtures/parquet/list-item.parquet', join(home.dir, 'in', 'b.parquet'))
  await home.run({ columns: { tags: { mode: 'deterministic' } } })
  const rows = await home.query(
    'select s_tags[1], s_tags[3], n from t where len(s_tags) = 3 and n in (1, 2, 1000, 1049) order by n',
  )
  expect(await home.back(rows.map((row) => row[0]))).toEqual(['plain-1', 'plain-2', 'T0', 'T49'])
  expect(rows.map((row) => row[1])).toEqual(['', '', '', ''])
  expect(await home.query('select count(*) from t')).toEqual([['350']])
})

test('mode random gives every cell a pseudonym of its own, and all go back', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select i, 'SAME' as vin from range(500) r(i)` })
  await home.run({ columns: { vin: { mode: 'random' } } })
  const cells = (await home.query('select s_vin from t')).flat()
  expect(new Set(cells).size).toBe(500)
  expect(new Set(await home.back(cells))).toEqual(new Set(['SAME']))
})

test('values are normalized first, and what means null becomes null', async () => {
  const home = await lake()
  await inputs(home, {
    'a.parquet': `select * from (values (1, ' vin1 '), (2, 'VIN1'), (3, 'n/a'), (4, '  '), (5, null)) v(i, vin)`,
  })
  await home.run({ columns: { vin: { mode: 'deterministic', normalize: ['trim', 'upper'], null_values: ['N/A'] } } })
  const rows = (await home.query('select s_vin from t order by i')).flat()
  expect(await home.back(rows)).toEqual(['VIN1', 'VIN1', null, '', null])
  expect(rows[0]).toBe(rows[1])
})

test('the empty string stays empty, unless it is listed among what means null', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select * from (values (1, 'x'), (2, ''), (3, null)) v(i, vin)` })
  await home.run({ columns: { vin: { mode: 'deterministic', null_values: [''] } } })
  const rows = (await home.query('select s_vin from t order by i')).flat()
  expect(await home.back(rows)).toEqual(['x', null, null])
})

test('columns whose dotted names look alike are told apart by backticks', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select 'one' as "a.b", {'b': 'two'} as a` })
  await home.run({ columns: { '`a.b`': { mode: 'deterministic' }, 'a.b': { mode: 'deterministic' } } })
  expect(await home.back((await home.query('select "s_a.b", a.s_b from t'))[0] ?? [])).toEqual(['one', 'two'])
  expect(
    await home.run({ columns: { '`a.b`': { mode: 'deterministic' }, 'a.b': { mode: 'deterministic' } } }),
  ).toMatchObject({ status: 'nothing-to-do' })
})

test('input locations are file URIs too, with names as they are', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'bc.parquet': VEHICLES, 'd#e.parquet': VEHICLES })
  const run = (input: string) => home.run({ input, columns: VIN, set: [`output.table=db.t${input.length}`] })
  expect(await run('file://{dir}/in/?.parquet')).toMatchObject({ files: 1 })
  expect(await run('file://{dir}/in/d#e.parquet')).toMatchObject({ files: 1 })
  expect(await run('file:{dir}/in')).toMatchObject({ files: 3 })
  await expect(run('file://{dir}/100%/x')).rejects.toMatchObject({ code: 'config/invalid' })
})

test('blanks and the word None are data like any other', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select * from (values (1, ' '), (2, 'None'), (3, 'null')) v(i, vin)` })
  await home.run({ columns: VIN })
  expect(await home.back((await home.query('select s_vin from t order by i')).flat())).toEqual([' ', 'None', 'null'])
})

test('key=value folders become columns, and can be sensitive', async () => {
  const home = await lake()
  await inputs(home, {
    'country=DE/vin=A%2FB/x.parquet': 'select 1 as n',
    'country=FR/vin=__HIVE_DEFAULT_PARTITION__/x.parquet': 'select 2 as n',
  })
  await home.run({ columns: VIN })
  const rows = await home.query('select n, country, s_vin from t order by n')
  expect(rows.map((row) => row.slice(0, 2))).toEqual([
    [1, 'DE'],
    [2, 'FR'],
  ])
  expect(await home.back(rows.map((row) => row[2]))).toEqual(['A/B', null])
})

test('with partitioning none a folder’s name is a name', async () => {
  const home = await lake()
  await inputs(home, { 'country=DE/x.parquet': `select 'a' as vin` })
  await home.run({ columns: VIN, set: ['input.partitioning=none'] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(['s_vin'])
})

test.each([
  ['unlisted_columns=drop', ['s_vin']],
  ['unlisted_columns=copy', ['dept', 's_vin', 'n']],
])('%s', async (setting, columns) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN, set: [setting] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(columns)
})

test('with unlisted_columns fail, a column nobody decided on stops the run', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns: VIN, set: ['unlisted_columns=fail'] })).rejects.toMatchObject({
    code: 'config/invalid',
    context: { columns: ['dept', 'n'] },
  })
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

test('a column that appears later stops the run, or is left out', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  rmSync(join(home.dir, 'in'), { recursive: true })
  await inputs(home, { 'b.parquet': `select *, 'secret' as email from (${VEHICLES})` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'table/schema-changed',
    context: { columns: ['email'] },
  })
  await home.run({ columns: VIN, set: ['schema_changes=drop'] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(['dept', 's_vin', 'n'])
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})

test('files of different schemas are refused before anything is written, naming file and column', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': `select dept, vin, n::varchar as n from (${VEHICLES})` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/mixed-schemas',
    context: { columns: ['n'] },
  })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
})

test.each([
  ['a column that is not there', { vni: { mode: 'deterministic' } }, 'input/column-missing'],
  ['two columns of one name', { vin: { mode: 'deterministic', as: 'dept' } }, 'config/invalid'],
  ['one column twice', { vin: { mode: 'deterministic' }, '`vin`': { mode: 'drop' } }, 'config/invalid'],
])('%s is refused', async (_, columns, code) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns })).rejects.toMatchObject({ code })
})

test('input that cannot be read is refused by kind, and nothing is published', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'z.parquet': VEHICLES })
  const bad = join(home.dir, 'in', 'z.parquet')
  const size = statSync(bad).size
  truncateSync(bad, size - 100)
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'input/corrupt' })
  writeFileSync(bad, 'dept,vin,n\nd1,VIN1,1\n')
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/not-parquet',
    message: expect.stringContaining('CSV'),
  })
  await expect(home.run({ columns: VIN, input: '{dir}/nothing' })).rejects.toMatchObject({ code: 'input/not-found' })
  mkdirSync(join(home.dir, 'empty'))
  await expect(home.run({ columns: VIN, input: '{dir}/empty' })).rejects.toMatchObject({ code: 'input/not-found' })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
})

test.each([
  ['{dir}/warehouse', 'around'],
  ['{dir}/warehouse/db/t/data', 'inside'],
  ['{dir}/**/*.parquet', 'by a glob'],
])('input %s, which lies %s the output, is refused', async (input) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns: VIN, input })).rejects.toMatchObject({ code: 'config/overlap' })
})

test('a value that is not UTF-8 is named by its place, and nothing is published', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select unhex('ff41') as vin, 1 as n union all select unhex('42'), 2` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/value-invalid',
    context: { outcome: 'nothing-published' },
  })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
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

test('neither table nor ledger holds a name of an input or a value of a replaced column', async () => {
  const home = await lake()
  await inputs(home, { 'PLANTED-name.parquet': `select 'PLANTED-value' || (i % 3) as vin, i from range(100) r(i)` })
  await home.run({ columns: VIN })
  for (const name of tree(join(home.dir, 'warehouse')))
    expect(`${name}${readFileSync(join(home.dir, 'warehouse', name), 'latin1')}`, name).not.toContain('PLANTED')
})

test('of two runs of one job at once, one does the work and the other stops without doubling anything', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  const runs = await Promise.allSettled([home.run({ columns: VIN }), home.run({ columns: VIN })])
  expect(runs.filter((run) => run.status === 'fulfilled')).toHaveLength(1)
  expect(runs.find((run) => run.status === 'rejected')?.reason).toMatchObject({ code: 'table/mark-changed' })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
  const { metadata } = await openTable(localStorage(), home.table)
  expect(metadata.snapshots).toHaveLength(1)
  // What the other one had finished is nobody's now, and goes with the next commit.
  await inputs(home, { '5.parquet': VEHICLES })
  await home.run({ columns: VIN })
  expect(tree(join(home.table, 'data'))).toHaveLength(5)
  expect(tree(join(home.dir, 'warehouse', '_pseudolake', 'unpublished'))).toEqual([])
})

test('a run that is told to stop publishes no part of a step, and the next one does the work', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  const stop = new AbortController()
  const outside = {
    signal: stop.signal,
    onEvent: (event: { type: string }) => event.type === 'committed' && stop.abort(),
  }
  await expect(home.run({ columns: VIN, set: ['commit.max_files=2'] }, {}, outside)).rejects.toMatchObject({
    code: 'run/interrupted',
    context: { outcome: 'partly-published' },
  })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
  expect(await home.run({ columns: VIN })).toMatchObject({ files: 4, skipped_files: 2 })
  expect(await home.query('select count(*) from t')).toEqual([['6000']])
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

async function stripMarks(home: Lake): Promise<void> {
  await edit(home, (metadata) => ({
    ...metadata,
    properties: Object.fromEntries(
      Object.entries(metadata.properties as object).filter(([name]) => !name.startsWith('pseudolake.job')),
    ),
  }))
}

/** As another writer might have left it. Ids of 64 bits are kept by editing around them. */
async function edit(home: Lake, change: (metadata: Record<string, unknown>) => Record<string, unknown>): Promise<void> {
  const { metadataLocation } = await openTable(localStorage(), home.table)
  const quoted = readFileSync(metadataLocation, 'utf8').replaceAll(/(-id"\s*:\s*)(\d{10,})/g, '$1"@$2"')
  writeFileSync(metadataLocation, JSON.stringify(change(JSON.parse(quoted))).replaceAll(/"@(\d+)"/g, '$1'))
}

function tree(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
      .sort()
  } catch {
    return []
  }
}

test('a table that another job makes or changes meanwhile is not written to under old assumptions', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const other = await lake()
  await inputs(other, { 'a.parquet': VEHICLES })
  const set = [`output.warehouse=${home.dir}/warehouse`, 'job=other']
  // Made by another job, with another key, between the look and the commit.
  const making = () => other.run({ columns: VIN, set })
  await expect(home.run({ columns: VIN }, {}, { meanwhile: making })).rejects.toMatchObject({ code: 'table/changed' })
  expect(await home.query('select count(*) from t')).toEqual([['1000']])
  // Its key changed on purpose, between the look and the commit.
  await inputs(other, { 'b.parquet': VEHICLES })
  const keyed = [...set, `service.embedded.keyring=${home.keyring}`]
  const changing = () => other.run({ columns: VIN, set: keyed }, { allowKeyChange: true })
  await inputs(home, { 'c.parquet': VEHICLES })
  await expect(
    home.run({ columns: VIN, set: [`service.embedded.keyring=${other.keyring}`] }, {}, { meanwhile: changing }),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^table\/(changed|key-changed)$/) })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
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

test('files that a stopped run had finished are taken over to the byte, the rest is done', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  await stoppedAfter(home, 3)
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({ rows: 5000, files: 5 })
  expect(report.notes).toEqual(['3 files that an earlier run had finished and not published were taken over'])
  expect(await home.query('select count(*), count(s_vin), sum(n) from t')).toEqual([['5000', '4285', `${5 * 499500}`]])
  expect(tree(join(home.table, 'data'))).toHaveLength(5)
  expect(tree(join(home.dir, 'warehouse', '_pseudolake', 'unpublished'))).toEqual([])
})

test.each([
  ['another configuration', async () => ({ set: ['columns.vin.normalize=[upper]'] })],
  ['another key', async () => ({ set: [`service.embedded.keyring=${(await lake()).keyring}`] })],
  [
    'an altered file',
    async (home: Lake) => {
      for (const name of tree(join(home.table, 'data'))) {
        const path = join(home.table, 'data', name)
        const bytes = readFileSync(path)
        bytes[200] = (bytes[200] ?? 0) ^ 1
        writeFileSync(path, bytes)
      }
      return {}
    },
  ],
  [
    'a changed input',
    async (home: Lake) => {
      for (const name of tree(join(home.dir, 'in'))) utimesSync(join(home.dir, 'in', name), new Date(), new Date())
      return {}
    },
  ],
])('nothing is taken over with %s, and what nobody wants goes with the commit', async (_, change) => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  await stoppedAfter(home, 2)
  expect(tree(join(home.table, 'data'))).toHaveLength(2)
  const report = await home.run({ columns: VIN, ...(await change(home)) })
  expect(report).toMatchObject({ rows: 3000, notes: [] })
  expect(tree(join(home.table, 'data'))).toHaveLength(3)
})

test('a run that was killed behind its commit has its files neither published twice nor removed', async () => {
  const home = await lake()
  await inputs(home, { '0.parquet': VEHICLES })
  await stoppedAfter(home, 1)
  const listed = join(home.dir, 'warehouse', '_pseudolake', 'unpublished')
  const left = tree(listed).map((name) => [join(listed, name), readFileSync(join(listed, name))] as const)
  await home.run({ columns: VIN })
  for (const [path, bytes] of left) writeFileSync(path, bytes)
  await inputs(home, { '1.parquet': VEHICLES })
  await home.run({ columns: VIN })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
  // Without its mark the table says itself which files it has.
  for (const [path, bytes] of left) writeFileSync(path, bytes)
  await stripMarks(home)
  await home.run({ columns: VIN }, { adopt: 'none' })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
})

/** Stops a run when so many files are finished and listed. */
async function stoppedAfter(home: Lake, files: number): Promise<void> {
  const stop = new AbortController()
  const storage = localStorage()
  let listed = 0
  const counting = {
    ...storage,
    create: async (location: string, bytes: Uint8Array) => {
      const made = await storage.create(location, bytes)
      if (/\/unpublished\/.*\.json$/.test(location) && ++listed === files) stop.abort()
      return made
    },
  }
  await expect(home.run({ columns: VIN }, {}, { storage: counting, signal: stop.signal })).rejects.toMatchObject({
    code: 'run/interrupted',
    context: { outcome: 'nothing-published' },
  })
}

test('a run can be held to a list of inputs, to recent ones, and to a number of them', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.parquet`, VEHICLES])))
  const at = (name: string) => join(home.dir, 'in', `${name}.parquet`)
  expect(await home.run({ columns: VIN }, { inputsFrom: [at('c')] })).toMatchObject({ files: 1 })
  utimesSync(at('b'), new Date('2020-01-01T00:00:00Z'), new Date('2020-01-01T00:00:00Z'))
  const recent = await home.run({ columns: VIN }, { modifiedSince: Date.parse('2021-01-01T00:00:00Z'), maxFiles: 1 })
  expect(recent).toMatchObject({ files: 1, skipped_files: 1 })
  expect(recent.notes).toEqual([
    '1 input is older than --modified-since',
    '1 more input is to be done: --max-files was reached',
  ])
  expect(await home.run({ columns: VIN })).toMatchObject({ files: 2, skipped_files: 2 })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
  for (const bad of [[join(home.dir, 'elsewhere.parquet')], [at('none')]])
    await expect(home.run({ columns: VIN }, { inputsFrom: bad })).rejects.toMatchObject({
      code: expect.stringMatching(/^(options\/invalid|input\/not-found)$/),
    })
})

test('a service that goes away half-way ends the run; once it is back, the next run goes on where that one was', async () => {
  const home = await lake()
  const values = (file: number) => `select 'VIN' || (i + ${file * 1000}) as vin from range(1000) r(i)`
  await inputs(home, Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.parquet`, values(i)])))
  let calls = 0
  const service = async (connect: () => Promise<Client>): Promise<Client> => {
    const real = await connect()
    const call: Client['client']['call'] = async (request) => {
      if (++calls > 6) throw new PseudolakeError('service/unavailable', 'the service could not be asked')
      return real.client.call(request)
    }
    return { ...real, client: { call } }
  }
  await expect(home.run({ columns: VIN, set: ['commit.max_files=2'] }, {}, { service })).rejects.toMatchObject({
    code: 'service/unavailable',
    context: { outcome: 'partly-published' },
  })
  const before = Number((await home.query('select count(*) from t'))[0]?.[0])
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(6000)
  const report = await home.run({ columns: VIN })
  expect(report.rows + before).toBe(6000)
  expect(await home.query('select count(*), count(distinct s_vin) from t')).toEqual([['6000', '6000']])
})
