/** Tables that others wrote, looked after by us, and judged by the engines that read them: the same rows before and after. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { connectService } from '../../pipelines/service.ts'
import { pseudolake } from '../helpers/cli.ts'
import { duckdbIceberg, pyiceberg, spark, testWith } from '../helpers/interop.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-upkeep-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function cli(...args: string[]) {
  const { code, stdout, stderr } = await pseudolake([...args, '--json'])
  expect(code, `${stdout}${stderr}`).toBe(0)
  return JSON.parse(stdout) as Record<string, unknown>
}

const MADE = `
rows("""create table h.db.t (id bigint, name string, price decimal(9,2), at timestamp, tags array<string>, place struct<x: int, y: double>, data binary, day date)
  using iceberg tblproperties ('write.delete.mode'='merge-on-read', 'write.metadata.metrics.column.name'='counts')""")
for i in range(8):
    rows(f"""insert into h.db.t select /*+ coalesce(1) */ id, concat('n', id % 7), cast(id as decimal(9,2)) / 4, timestamp_micros(id * 1234567), case when id % 3 = 0 then null else array('a', concat('t', id)) end,
      case when id % 5 = 0 then null else named_struct('x', cast(id as int), 'y', id / 2.0d) end, cast(concat('b', id) as binary), date_add(date'2026-01-01', cast(id as int)) from range({i * 500}, {i * 500 + 500})""")
first = rows("select snapshot_id from h.db.t.snapshots order by committed_at")[0][0]
rows(f"alter table h.db.t create tag first as of version {first} retain 365 days")
rows(f"alter table h.db.t create branch side as of version {first} retain 365 days with snapshot retention 2 snapshots 3 days")
rows("delete from h.db.t where id % 50 = 7")
rows("delete from h.db.t where id between 1010 and 1490")
rows("alter table h.db.t add column later int")
rows("alter table h.db.t rename column place to spot")
rows("insert into h.db.t select /*+ coalesce(1) */ id, 'new', 1.25, null, null, null, null, null, 5 from range(9000, 9003)")
rows("create table h.db.old (id bigint, name string) using iceberg tblproperties ('format-version'='1')")
for i in range(6): rows(f"insert into h.db.old values ({i}, 'v{i}')")
`

const LOOK = `
def look(table): return [[str(c) for c in r] for r in rows(f"select * from {table} order by id")]
`

testWith(
  ['spark', 'duckdb', 'pyiceberg'],
  'a table of Spark’s with deleted rows, and one of version 1: compacted and expired by us, they hold the same rows for every engine',
  async () => {
    const before = await spark<{ t: string[][]; old: string[][] }>(
      `${MADE}${LOOK}
result = {'t': look('h.db.t'), 'old': look('h.db.old')}`,
      null,
      { catalogs: { h: folder } },
    )
    expect(before.t).toHaveLength(4003 - 552)
    const table = join(folder, 'db', 't')
    const planned = await cli('table', 'compact', table, '--plan')
    expect(planned).toMatchObject({ status: 'planned', left_alone: {}, deleted_rows: null })
    const names = readdirSync(join(table, 'data')).length
    expect(await cli('table', 'compact', table)).toMatchObject({
      status: 'done',
      bins: planned.bins,
      files_removed: planned.files_removed,
      rows: 4000,
      deleted_rows: 552,
      upgraded: false,
    })
    expect(readdirSync(join(table, 'data')).length).toBeGreaterThan(names)
    expect(await cli('table', 'compact', join(folder, 'db', 'old'))).toMatchObject({
      files_removed: 6,
      files_added: 1,
      upgraded: true,
    })
    for (const [name, kept] of [
      ['t', 2],
      ['old', 1],
    ] as const)
      expect(await cli('table', 'expire', join(folder, 'db', name), '--older-than', '0s')).toMatchObject({
        status: 'done',
        kept_snapshots: kept,
        failed: 0,
      })
    // The tag and the branch hold the first file. Spark leaves a checksum beside each.
    expect(readdirSync(join(table, 'data')).filter((name) => name.endsWith('.parquet'))).toHaveLength(3)
    const verified = await pseudolake(['table', 'verify', table, '--full', '--json'])
    expect(JSON.parse(verified.stdout)).toMatchObject({ counts: {}, findings: [] })

    const after = await spark<{
      t: string[][]
      old: string[][]
      again: string[][]
      operations: string[]
      tagged: number[]
      refs: string[][]
    }>(
      `${LOOK}
result = {'t': look('h.db.t'), 'old': look('h.db.old')}
result['operations'] = [r[0] for r in rows("select operation from h.db.t.snapshots order by committed_at")]
result['tagged'] = [rows(f"select count(*) from h.db.t version as of '{ref}'")[0][0] for ref in ('first', 'side')]
result['refs'] = sorted([str(c) for c in r] for r in rows("select name, type, max_reference_age_in_ms, min_snapshots_to_keep from h.db.t.refs"))
rows("delete from h.db.t where id = 1")
rows("insert into h.db.t select /*+ coalesce(1) */ id, 'x', 1, null, null, null, null, null, 1 from range(9900, 9901)")
result['again'] = look('h.db.t')`,
      null,
      { catalogs: { h: folder } },
    )
    expect(after.t).toEqual(before.t)
    expect(after.old).toEqual(before.old)
    expect(after.operations).toEqual(['append', 'replace'])
    expect(after.tagged).toEqual([500, 500])
    expect(after.refs).toEqual([
      ['first', 'TAG', '31536000000', 'None'],
      ['main', 'BRANCH', 'None', 'None'],
      ['side', 'BRANCH', '31536000000', '2'],
    ])
    expect(after.again).toHaveLength(before.t.length)
    const ids = after.again.map(([id]) => Number(id))
    const duck = await duckdbIceberg(`select id, name from iceberg_scan('${table}') order by id`)
    expect(duck.map(({ id }) => Number(id))).toEqual(ids)
    const py = await pyiceberg<{ ids: number[]; tags: unknown[]; format: number }>(
      `
from pyiceberg.table import StaticTable
t = StaticTable.from_metadata(args['t']).scan().to_arrow().sort_by('id')
result = {'ids': t['id'].to_pylist(), 'tags': t['tags'].to_pylist()[:5], 'format': StaticTable.from_metadata(args['old']).metadata.format_version}
`,
      { t: newest(table), old: newest(join(folder, 'db', 'old')) },
    )
    expect(py.ids).toEqual(ids)
    expect(py.tags).toEqual([null, ['a', 't2'], null, ['a', 't4'], ['a', 't5']])
    expect(py.format).toBe(2)
  },
  240_000,
)

testWith(
  ['spark', 'duckdb', 'pyiceberg'],
  'a table of version 1 in which Spark wrote pseudonyms of None is mended, and every engine sees nulls there and all else as it was',
  async () => {
    const keyring = join(folder, 'keys.json')
    await pseudolake(['keys', 'create', '--out', keyring, '--format', 'original'])
    const config = join(folder, 'job.json')
    const job = {
      job: 'legacy',
      input: { path: join(folder, 'in') },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring } },
      output: { table: 'db.legacy', warehouse: folder },
    }
    writeFileSync(config, JSON.stringify(job))
    const { client, close } = await connectService(readBatchConfig(JSON.stringify(job), {}), {
      env: {},
      cwd: folder,
      clock: systemClock(),
      random: Math.random,
      randomBytes,
    })
    const texts = ['None', '', 'A', 'B', 'C']
    const question = { direction: 'pseudonymize', values: texts, domain: 'default', deterministic: true } as const
    const { values } = await client.call(question)
    await close()
    const { before, null: none } = await spark<{ before: string[][]; null: number }>(
      `${LOOK.replace('order by id', 'order by at')}
rows("create table h.db.legacy (dept_id string, s_vin string, at string) using iceberg tblproperties ('format-version'='1')")
for part in range(3):
    made = [(str(i % 5), args[i % len(args)] if part < 2 else args[2], f'{part}-{i:04d}') for i in range(400)]
    spark.createDataFrame(made, 'dept_id string, s_vin string, at string').coalesce(1).writeTo('h.db.legacy').append()
result = {'before': look('h.db.legacy'), 'null': rows('select count(*) from h.db.legacy where s_vin is null')[0][0]}`,
      values,
      { catalogs: { h: folder } },
    )
    expect([before.length, none]).toEqual([1200, 0])
    const table = join(folder, 'db', 'legacy')
    const legacy = ['table', 'verify', table, '--config', config, '--legacy']
    expect((await pseudolake(legacy)).code).toBe(1)
    expect(await cli(...legacy, '--repair')).toMatchObject({
      status: 'repaired',
      upgraded: true,
      files_rewritten: 2,
      columns: { s_vin: { none: 160, empty: 160 } },
    })
    const wrong = values.slice(0, 2)
    const expected = before.map(([dept, vin, at]) => [dept, wrong.includes(vin as string) ? 'None' : vin, at])
    const { after, count } = await spark<{ after: string[][]; count: number }>(
      `${LOOK.replace('order by id', 'order by at')}
result = {'after': look('h.db.legacy'), 'count': rows('select count(*) from h.db.legacy where s_vin is null')[0][0]}`,
      null,
      { catalogs: { h: folder } },
    )
    // Python's text of a null is None.
    expect(after).toEqual(expected)
    expect(count).toBe(320)
    expect(await duckdbIceberg(`select count(*) n, count(s_vin) v from iceberg_scan('${table}')`)).toEqual([
      { n: '1200', v: '880' },
    ])
    const py = await pyiceberg<number[]>(
      `
from pyiceberg.table import StaticTable
t = StaticTable.from_metadata(args)
result = [t.scan().to_arrow()['s_vin'].null_count, t.scan(row_filter='s_vin is null').to_arrow().num_rows]`,
      newest(table),
    )
    expect(py).toEqual([320, 320])
  },
  240_000,
)

function newest(table: string): string {
  const metadata = join(table, 'metadata')
  const versions = readdirSync(metadata).flatMap((name) => /^v(\d+)\.metadata\.json$/.exec(name)?.[1] ?? [])
  return join(metadata, `v${Math.max(...versions.map(Number))}.metadata.json`)
}
