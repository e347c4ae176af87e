/** Tables of streams as other engines see and change them: the same rows for all, and what Spark deletes between commits stays deleted. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'vitest'
import { duckdbIceberg, pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { kinesisFake } from '../helpers/kinesis/fake.ts'
import { stage } from '../pipelines/stream/stage.ts'

const RECORDS = 1200
const ARRIVED = Date.UTC(2026, 0, 2, 3, 4, 5)
/** Milliseconds between two records. */
const STEP = 1001

/** By the text of each engine: values that none of them rounds. */
const recordOf = (n: number) => ({
  vin: n % 11 === 0 ? null : `V${n % 50}`,
  n,
  price: `${n}.25`,
  at: `2026-01-01T00:00:${String(n % 60).padStart(2, '0')}.000001Z`,
  who: n % 7 === 0 ? null : { id: `W${n % 9}`, tags: n % 2 === 0 ? [`t${n}`, null] : [] },
  raw: { a: [n, null] },
})

/** What an engine has to find of a record, beside its pseudonyms. */
const rowOf = (n: number, sequence: string) => ({
  n,
  price: `${n}.25`,
  at_us: Date.UTC(2026, 0, 1, 0, 0, n % 60) * 1000 + 1,
  who: n % 7 === 0 ? null : n % 2 === 0 ? [`t${n}`, null] : [],
  raw: `{"a":[${n},null]}`,
  arrived_us: (ARRIVED + n * STEP) * 1000,
  shard: `shardId-00000000000${n % 2}`,
  seq: sequence,
})

interface Seen extends ReturnType<typeof rowOf> {
  readonly vin: string | null
  readonly who_id: string | null
}

testWith(
  ['spark', 'pyiceberg', 'duckdb'],
  'a stream’s table holds the same rows for Spark, PyIceberg and DuckDB, and what Spark deletes between its commits stays deleted, compacted or not',
  async () => {
    const on = await stage(1)
    const fake = await kinesisFake()
    fake.memory.createStream('s', 2)
    const expected = new Map<number, ReturnType<typeof rowOf>>()
    for (let n = 0; n < RECORDS; n++) {
      const sequence = fake.memory.append('s', `shardId-00000000000${n % 2}`, {
        partitionKey: `k${n}`,
        data: Buffer.from(JSON.stringify(recordOf(n))),
        arrivalMs: ARRIVED + n * STEP,
      })
      expected.set(n, rowOf(n, sequence))
    }
    const config = {
      job: 'test',
      input: { stream: 's', region: 'eu-west-1', endpoint_url: fake.url },
      schema: {
        ...{ vin: 'string', n: 'long', price: 'decimal(12, 2)', at: 'timestamptz', raw: 'string' },
        ...{ 'who.id': 'string', 'who.tags': 'list<string>' },
      },
      columns: { vin: { mode: 'deterministic' }, 'who.id': { mode: 'deterministic' } },
      record_columns: { arrival_time: 'arrived', shard: 'shard', sequence_number: 'seq' },
      service: { embedded: { keyring: on.keyring } },
      output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
      upkeep: { every: '1h' },
    }
    writeFileSync(join(on.dir, 'stream.json'), JSON.stringify(config))
    const { seen, kept, operations, upkeep } = await spark<{
      seen: Seen[]
      kept: Readonly<Record<string, readonly number[]>>
      operations: string[]
      upkeep: string[]
    }>(
      `
import json, signal, subprocess
def stream(*more):
    command = [args['node'], args['program'], 'stream', '--config', 'stream.json', '--json', '--quiet', *more]
    return subprocess.Popen(command, cwd=args['dir'], env={**os.environ, **args['env']}, stdout=subprocess.PIPE, text=True)
def portion(count):
    running = stream('--max-records', str(count))
    assert json.loads(running.communicate()[0].splitlines()[-1])['status'] == 'enough'
def looked_after(*more):
    # Ends when upkeep has put files together.
    running = stream('--set', 'upkeep.every=200ms', '--set', 'upkeep.min_files=2', '--set', 'commit.every=200ms', *more)
    done = []
    for line in running.stdout:
        event = json.loads(line)
        if event.get('event') == 'upkeep' and event['what'] == 'compact':
            done.append(event['done'])
            break
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert running.returncode == 143
    return done
def numbers(): return [row[0] for row in rows('select n from h.db.t order by n')]
kept = {}
for part in (250, 150): portion(part)
kept['read'] = numbers()
rows("alter table h.db.t set tblproperties ('write.delete.mode'='merge-on-read')")
rows("delete from h.db.t where n % 10 = 3")
kept['merge-on-read'] = numbers()
portion(100)
rows("alter table h.db.t set tblproperties ('write.delete.mode'='copy-on-write')")
rows("delete from h.db.t where n % 10 = 4")
kept['copy-on-write'] = numbers()
portion(100)
rows("alter table h.db.t set tblproperties ('write.delete.mode'='merge-on-read')")
rows("delete from h.db.t where n % 10 = 5")
kept['again'] = numbers()
# With the records that are left: more than one commit, and the deleted rows go from the files.
upkeep = looked_after('--set', 'commit.max_rows=200')
rows("delete from h.db.t where n % 10 = 6")
upkeep += looked_after()
portion_left = stream('--until-caught-up')
assert json.loads(portion_left.communicate()[0].splitlines()[-1])['status'] == 'caught-up'
seen = [row.asDict(recursive=True) for row in spark.sql("""select s_vin vin, n, cast(price as string) price, unix_micros(at) at_us, who.tags who, who.s_id who_id, raw,
  unix_micros(arrived) arrived_us, shard, seq from h.db.t order by n""").collect()]
result = {'seen': seen, 'kept': kept, 'upkeep': upkeep, 'operations': [row[0] for row in rows('select operation from h.db.t.snapshots order by committed_at')]}
`,
      { node: process.execPath, program: resolve('bin/pseudolake.js'), dir: on.dir, env: fake.env },
      { catalogs: { h: join(on.dir, 'warehouse') }, timeoutMs: 300_000 },
    )
    const read = kept.read ?? []
    expect(read).toHaveLength(400)
    expect(kept['merge-on-read']).toEqual(read.filter((n) => n % 10 !== 3))
    expect(kept['copy-on-write']?.filter((n) => n % 10 === 4)).toEqual([])
    expect(kept.again?.filter((n) => n % 10 === 5)).toEqual([])
    expect(upkeep).toHaveLength(2)
    expect(operations).toEqual(expect.arrayContaining(['append', 'delete', 'overwrite', 'replace']))

    // Of those that were there when Spark deleted them all are gone, and no others: which came later, the portions say.
    const gone = [...Array(RECORDS).keys()].filter((n) => !seen.some((row) => row.n === n))
    for (const n of gone) expect([3, 4, 5, 6]).toContain(n % 10)
    for (const n of read) expect(gone.includes(n), String(n)).toBe([3, 4, 5, 6].includes(n % 10))
    expect(new Set(seen.map(({ n }) => n)).size).toBe(seen.length)
    expect(seen.map(({ vin: _, who_id: __, ...row }) => row)).toEqual(seen.map(({ n }) => expected.get(n)))
    expect(await on.back(seen.map(({ vin }) => vin))).toEqual(seen.map(({ n }) => recordOf(n).vin))
    expect(await on.back(seen.map(({ who_id }) => who_id))).toEqual(seen.map(({ n }) => recordOf(n).who?.id ?? null))

    const byPython = await pyiceberg<Seen[]>(
      `
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(args).scan().to_arrow().sort_by('n')
micros = lambda name: table[name].cast('int64').to_pylist()
columns = [table[name].to_pylist() for name in ('s_vin', 'n', 'price', 'raw', 'shard', 'seq', 'who')]
result = [{'vin': vin, 'n': n, 'price': str(price), 'raw': raw, 'shard': shard, 'seq': seq, 'who': who and who['tags'], 'who_id': who and who['s_id'], 'at_us': at, 'arrived_us': arrived}
  for (vin, n, price, raw, shard, seq, who), at, arrived in zip(zip(*columns), micros('at'), micros('arrived'))]
`,
      newest(on.table),
    )
    expect(byPython).toEqual(seen)
    const byDuck = await duckdbIceberg(
      `select s_vin as vin, n::int as n, price::varchar as price, epoch_us("at")::varchar as at_us, who.tags as who, who.s_id as who_id, raw,
       epoch_us(arrived)::varchar as arrived_us, shard, seq from iceberg_scan('${on.table}') order by n`,
    )
    const numeric = byDuck.map((row) => ({ ...row, at_us: Number(row.at_us), arrived_us: Number(row.arrived_us) }))
    expect(numeric).toEqual(seen)
  },
  320_000,
)

function newest(table: string): string {
  const metadata = join(table, 'metadata')
  const versions = readdirSync(metadata).flatMap((name) => /^v(\d+)\.metadata\.json$/.exec(name)?.[1] ?? [])
  return join(metadata, `v${Math.max(...versions.map(Number))}.metadata.json`)
}
