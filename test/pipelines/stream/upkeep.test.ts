/** A stream's table is looked after while it runs, beside others who write to it: no row is lost, and none that was deleted comes back. */
import { randomUUID } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../lib/core/clock.ts'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import type { Catalog, TableState } from '../../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../../lib/iceberg/catalogs/filesystem.ts'
import { memoryCatalog } from '../../../lib/iceberg/catalogs/memory.ts'
import type { DataFile } from '../../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../../lib/iceberg/locations.ts'
import { currentSchema } from '../../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../../lib/iceberg/operations/overwrite.ts'
import { setProperties } from '../../../lib/iceberg/operations/set-properties.ts'
import { planFiles } from '../../../lib/iceberg/scan.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { runQuery } from '../../../pipelines/query/run.ts'
import type { StreamOutside } from '../../../pipelines/stream/outside.ts'
import type { StreamEvent } from '../../../pipelines/stream/report.ts'
import { upkeep } from '../../../pipelines/stream/upkeep.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { duckdb } from '../../helpers/lake.ts'
import { commitDeletes, positionDeletes } from '../../iceberg/deletes.ts'
import { Dead } from '../../regression/crash-storage.ts'
import { background, type Stage, stage, until } from './stage.ts'

const TABLE = { database: 'db', name: 't' }
const DAY_MS = 86_400_000
const storage = localStorage()
const context = { clock: systemClock(), random: Math.random, uuid: randomUUID }
const SCHEMA = { schema: { vin: 'string', n: 'long' } }
const KEPT_UP = {
  ...SCHEMA,
  commit: { every: '80ms' },
  heartbeat: { every: '50ms', takeover_after: '1s' },
  upkeep: { every: '120ms', min_files: 3 },
}

const records = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ vin: `V${(from + i) % 50}`, n: from + i }))
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** The table's `n`, sorted. */
async function numbersIn(state: TableState): Promise<number[]> {
  const tables = new Map([['t', { state, storage }]])
  const { rows } = await runQuery('select n::int from t order by n', { storage, tables, maxRows: 1_000_000 })
  return rows.map(([n]) => Number(n))
}

const compactions = (events: readonly StreamEvent[]) =>
  events.filter((event) => event.event === 'upkeep' && event.what === 'compact').length

/** Somebody who writes to the table by the same rules as we do, and knows nothing of streams. */
function somebody(on: Stage, catalog: Catalog) {
  let nth = 0
  const next = (what: string) => join(on.table, 'data', `theirs-${what}-${++nth}.parquet`)
  const rowsOf = async (path: string) => {
    const tables = new Map<string, string>()
    const sql = `select file_row_number::int, n::int from read_parquet('${storageLocation(path)}', file_row_number = true)`
    return (await runQueryOfFiles(sql, tables)) as [number, number][]
  }
  /** Until nobody was quicker. */
  const anew = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;)
      try {
        return await work()
      } catch (error) {
        if (!isPseudolakeError(error) || !['table/conflict', 'table/files-gone'].includes(error.code)) throw error
      }
  }
  const fileOf = (path: string, rows: number): DataFile => ({
    ...{ content: 'data', path, format: 'PARQUET', partition: new Map(), rows, bytes: statSync(path).size },
  })
  const write = async (select: string, state: TableState): Promise<string> => {
    const path = next('rows')
    const ids = currentSchema(state.metadata).fields.map(({ id, name }) => `"${name}": ${id}`)
    await duckdb(`copy (${select}) to '${path}' (format parquet, field_ids {${ids.join(', ')}})`)
    return path
  }
  return {
    /** Rows whose numbers end with a digit, of those that are there. @returns their numbers */
    deletes: (digit: number) =>
      anew(async () => {
        const state = await catalog.load(TABLE)
        const there = new Set(await numbersIn(state))
        const deleted: [string, number][] = []
        const gone: number[] = []
        for await (const { file } of planFiles(storage, state.metadata))
          for (const [row, n] of await rowsOf(file.path))
            if (n % 10 === digit && there.has(n)) {
              deleted.push([file.path, row])
              gone.push(n)
            }
        if (gone.length > 0)
          await commitDeletes(catalog, TABLE, [await positionDeletes(catalog, next('deletes'), deleted)], state)
        return gone
      }),
    /** One of the files is written anew without rows whose numbers end with a digit, as by a copy-on-write DELETE. @returns their numbers */
    rewrites: (digit: number) =>
      anew(async () => {
        const state = await catalog.load(TABLE)
        for await (const { file, deletes } of planFiles(storage, state.metadata)) {
          const rows = await rowsOf(file.path)
          const gone = rows.map(([, n]) => n).filter((n) => n % 10 === digit)
          if (deletes.length > 0 || gone.length === 0) continue
          const path = await write(
            `select s_vin, n from read_parquet('${storageLocation(file.path)}') where n % 10 <> ${digit}`,
            state,
          )
          const files = [fileOf(path, rows.length - gone.length)]
          await overwriteFiles(
            catalog,
            TABLE,
            { schema: currentSchema(state.metadata), files, remove: [file.path], runId: 'theirs' },
            context,
          )
          return gone
        }
        return []
      }),
    appends: (from: number, to: number) =>
      anew(async () => {
        const state = await catalog.load(TABLE)
        const path = await write(`select 'theirs' as s_vin, n::bigint as n from range(${from}, ${to}) r(n)`, state)
        const files = [fileOf(path, to - from)]
        await appendFiles(catalog, TABLE, { schema: currentSchema(state.metadata), files, runId: 'theirs' }, context)
      }),
  }
}

async function runQueryOfFiles(sql: string, tables: ReadonlyMap<string, string>) {
  return (await runQuery(sql, { storage, tables, maxRows: 1_000_000 })).rows
}

for (const [name, open] of [
  ['a catalog in files', (on: Stage) => on.catalog],
  [
    'a catalog with a pointer',
    (on: Stage) => memoryCatalog({ storage, warehouse: join(on.dir, 'warehouse'), ...context, uuid: randomUUID }),
  ],
] as const)
  test(`${name}: files are put together while records come and others append and delete, and every row is what they left it`, async () => {
    const on = await stage(2)
    const catalog = open(on)
    const { run, events, stop, ended } = background(on, KEPT_UP, { catalog })
    await until(() => run.gauges().state === 'owner')
    const they = somebody(on, catalog)
    const gone = new Set<number>()
    const added: number[] = []
    let n = 0
    const rounds = 12
    for (let round = 0; round < rounds || compactions(events) < 3; round++) {
      await on.put(records(n, n + 40))
      n += 40
      await until(() => run.gauges().rows >= n - 40)
      if (round % 3 === 0) for (const each of await they.deletes(3)) gone.add(each)
      if (round % 3 === 1) for (const each of await they.rewrites(7)) gone.add(each)
      if (round % 4 === 2) {
        await they.appends(1_000_000 + n, 1_000_010 + n)
        added.push(...numbers(1_000_000 + n, 1_000_010 + n))
      }
    }
    for (const each of await they.deletes(9)) gone.add(each)
    // Until the deletes themselves are gone: files that had some were among those that were put together.
    await until(async () => {
      await on.put(records(n, n + 40))
      n += 40
      for await (const { deletes } of planFiles(storage, (await catalog.load(TABLE)).metadata))
        if (deletes.length > 0) return false
      return true
    }, 40_000)
    await until(() => run.gauges().rows === n)
    stop()
    expect((await ended).error).toBe(undefined)
    expect(gone.size).toBeGreaterThan(10)
    const state = await catalog.load(TABLE)
    // What is deleted and then appended again under its old number nobody does here: gone is gone.
    const expected = [...numbers(0, n), ...added].filter((each) => !gone.has(each))
    expect(await numbersIn(state)).toEqual(expected)
    const operations = new Set(state.metadata.snapshots.map(({ summary }) => summary.operation))
    expect([...operations].toSorted()).toEqual(['append', 'delete', 'overwrite', 'replace'])
    let files = 0
    for await (const _ of planFiles(storage, state.metadata)) files++
    expect(files).toBeLessThan(run.gauges().commits)
    // And the next run goes on where this one ended.
    await on.put(records(n, n + 40))
    expect(await on.run(SCHEMA, { catalog })).toMatchObject({ rows: 40 })
    expect(await numbersIn(await catalog.load(TABLE))).toEqual(
      [...expected, ...numbers(n, n + 40)].toSorted((a, b) => a - b),
    )
  }, 90_000)

test.each(['deletes', 'rewrites'] as const)(
  'somebody who %s rows while they are put together is first: nothing happens to them, and the next time they are left out',
  async (how) => {
    const on = await stage(1)
    for (let round = 0; round < 4; round++) {
      await on.put(records(round * 40, round * 40 + 40))
      await on.run(SCHEMA)
    }
    const they = somebody(on, on.catalog)
    let gone: readonly number[] = []
    const catalog: Catalog = {
      ...on.catalog,
      async commit(table, base, updates) {
        const replaces = updates.some(
          (update) => update.action === 'add-snapshot' && update.snapshot.summary.operation === 'replace',
        )
        if (replaces && gone.length === 0) gone = await they[how](3)
        return on.catalog.commit(table, base, updates)
      },
    }
    const { events } = background(on, KEPT_UP, { catalog })
    await until(() => compactions(events) === 1)
    expect(events).toContainEqual({ event: 'note', message: 'upkeep: table/conflict; it is tried again' })
    expect(gone.length).toBeGreaterThan(0)
    expect(await numbersIn(await on.catalog.load(TABLE))).toEqual(numbers(0, 160).filter((n) => !gone.includes(n)))
  },
  30_000,
)

test('snapshots, and the files that only they need, go by the table’s policy while the stream runs', async () => {
  const real = systemClock()
  let ahead = 0
  const clock: Clock = { now: real.now, sleep: real.sleep, wall: () => real.wall() + ahead }
  const on = await stage(1, { clock })
  on.memory.deleteStream('s')
  on.memory.createStream('s', 1, { retentionMs: 365 * DAY_MS })
  const catalog = filesystemCatalog({ storage, warehouse: join(on.dir, 'warehouse'), clock })
  const { run, events } = background(on, KEPT_UP, { catalog, clock })
  const commits = async (from: number, to: number) => {
    for (let n = from; n < to; n += 20) {
      await on.put(records(n, n + 20))
      await until(() => run.gauges().rows === n + 20)
    }
  }
  const expired = () => events.filter((event) => event.event === 'upkeep' && event.what === 'expire')
  const dataFiles = () => readdirSync(join(on.table, 'data')).filter((name) => name.endsWith('.parquet')).length
  await commits(0, 200)
  await until(() => compactions(events) > 1)
  const before = await catalog.load(TABLE)
  // Five days are not over.
  expect(expired()).toEqual([])
  expect(before.metadata.snapshots.length).toBeGreaterThan(10)
  const files = dataFiles()
  ahead = 6 * DAY_MS
  await commits(200, 260)
  await until(() => expired().length > 0)
  const { metadata } = await catalog.load(TABLE)
  expect(metadata.snapshots.length).toBeLessThan(before.metadata.snapshots.length)
  const old = new Set(before.metadata.snapshots.map((snapshot) => snapshot['snapshot-id']))
  expect(metadata.snapshots.filter((snapshot) => old.has(snapshot['snapshot-id'])).length).toBeLessThanOrEqual(1)
  await until(() => dataFiles() < files)
  expect(await numbersIn(await catalog.load(TABLE))).toEqual(numbers(0, 260))
  // The mark outlives the snapshots that set it.
  await commits(260, 300)
  expect(await numbersIn(await catalog.load(TABLE))).toEqual(numbers(0, 300))
}, 60_000)

/** Storage of a process that dies at the first operation that looks like this, before or after it took place. */
function dyingAt(step: RegExp, when: 'before' | 'after'): Storage {
  let dead = false
  const operation = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (dead) throw new Dead()
    if (!step.test(what)) return work()
    dead = true
    if (when === 'after') await work()
    throw new Dead()
  }
  return {
    ...storage,
    create: (location: string, bytes: Uint8Array) =>
      operation(`create ${location}`, () => storage.create(location, bytes)),
    replace: (location: string, bytes: Uint8Array) =>
      operation(`replace ${location}`, () => storage.replace(location, bytes)),
    delete: (location: string) => operation(`delete ${location}`, () => storage.delete(location)),
    async write(location: string) {
      const writer = await storage.write(location)
      return {
        get bytes() {
          return writer.bytes
        },
        write: (bytes: Uint8Array) => writer.write(bytes),
        close: () => operation(`close ${location}`, () => writer.close()),
        abort: () => writer.abort(),
      }
    },
  }
}

test('upkeep that dies at any of its steps costs no row and brings none back, and the next one finishes it', async () => {
  const on = await stage(1)
  const { job } = on.prepare({ ...SCHEMA, upkeep: { every: '1h', min_files: 2 } })
  const they = somebody(on, on.catalog)
  const events: StreamEvent[] = []
  const keepUp = (within: Storage) =>
    upkeep(
      job,
      {
        ...context,
        catalog: filesystemCatalog({ storage: within, warehouse: join(on.dir, 'warehouse'), ...context }),
        runId: 'upkeep',
        createdBy: 'pseudolake version 0.0.0',
      } as unknown as StreamOutside,
      new AbortController().signal,
      (event) => events.push(event),
    )
  let n = 0
  const gone = new Set<number>()
  const work = async () => {
    for (let round = 0; round < 2; round++) {
      await on.put(records(n, n + 20))
      n += 20
      await on.run(SCHEMA)
    }
    for (const each of await they.deletes(3)) gone.add(each)
  }
  const there = async () => numbersIn(await on.catalog.load(TABLE))
  const expected = () => numbers(0, n).filter((each) => !gone.has(each))
  await on.run(SCHEMA)
  // Everything but the last snapshot is old at once.
  const policy = { 'history.expire.max-snapshot-age-ms': '1', 'history.expire.min-snapshots-to-keep': '1' }
  await setProperties(on.catalog, TABLE, { set: policy }, context)
  for (const [when, step] of [
    ['after', /^close .*\/data\/upkeep/],
    ['after', /^create .*\/metadata\/upkeep-.*\.avro$/],
    ['after', /^create .*\/metadata\/snap-/],
    ['before', /^create .*\/metadata\/v\d+/],
    ['after', /^create .*\/metadata\/v\d+/],
    ['before', /^replace .*\/version-hint/],
    ['after', /^create .*\/metadata\/_expire/],
    ['before', /^delete .*\/data\//],
    ['after', /^delete .*\/metadata\/snap-/],
  ] as const) {
    await work()
    await expect(keepUp(dyingAt(step, when)), `${when} ${step}`).rejects.toThrow(Dead)
    expect(await there(), `${when} ${step}`).toEqual(expected())
  }
  await work()
  events.length = 0
  await keepUp(storage)
  expect(events.map((event) => event.event === 'upkeep' && event.what)).toEqual(['compact', 'expire'])
  expect(await there()).toEqual(expected())
  expect((await on.catalog.load(TABLE)).metadata.snapshots).toHaveLength(1)
  const verified = await pseudolake(['table', 'verify', on.table, '--json'])
  expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean' })
}, 90_000)
