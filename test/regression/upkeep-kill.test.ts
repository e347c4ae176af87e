/** Upkeep as a process that is killed, at no chosen moment: the table holds the same rows after every one, and the next attempt ends the work. */
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { openFolder } from '../../pipelines/tables/open.ts'
import { pseudolake, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { commitDeletes, positionDeletes } from '../iceberg/deletes.ts'

const SCHEMA: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    { id: 1, name: 'n', required: false, type: 'long' },
    { id: 2, name: 'note', required: false, type: 'string' },
  ],
}
const TABLE = { database: 'db', name: 't' }
const FILES = 40
const ROWS = 5000

test('compaction and expiry killed at any moment lose no row and bring none back', { timeout: 300_000 }, async () => {
  const home = await lake()
  const data = join(home.table, 'data')
  mkdirSync(data, { recursive: true })
  const clock = systemClock()
  const catalog = filesystemCatalog({ storage: localStorage(), warehouse: join(home.dir, 'warehouse'), clock })
  const context = { clock, random: Math.random, uuid: () => crypto.randomUUID() }
  const options = { schema: SCHEMA, create: { properties: {} }, runId: 'run' }
  const paths = Array.from({ length: FILES }, (_, i) => join(data, `${i}.parquet`))
  await home.sql(
    paths
      .map(
        (path, i) =>
          `copy (select n::bigint as n, repeat('x', 30) || hash(n) as note from range(${i * ROWS}, ${(i + 1) * ROWS}) r(n)) to '${path}' (format parquet, field_ids {n: 1, note: 2})`,
      )
      .join(';'),
  )
  const file = (path: string): DataFile => ({
    content: 'data',
    path,
    format: 'PARQUET',
    partition: new Map(),
    rows: ROWS,
    bytes: statSync(path).size,
  })
  await appendFiles(catalog, TABLE, { ...options, files: paths.map(file) }, context)
  await overwriteFiles(catalog, TABLE, { ...options, files: [], remove: paths.slice(0, 2) }, context)
  const deleted = paths.slice(2).flatMap((path) => [1, 4999].map((row) => [path, row] as const))
  await commitDeletes(catalog, TABLE, [await positionDeletes(catalog, join(data, 'deletes.parquet'), deleted)])

  const look = () => home.query('select count(*), sum(n), min(note), max(note), count(distinct note) from t')
  const before = await look()
  expect(before[0]?.[0]).toBe(String((FILES - 2) * (ROWS - 2)))
  let killed = 0
  for (const [command, ...more] of [
    ['compact', '--target-size', '1MB'],
    ['expire', '--older-than', '0s'],
  ] as const) {
    // Later and later, until it is done before.
    for (let after = 120, done = false; !done && after < 10_000; after *= 1.25) {
      const { child, ended } = start(['table', command, home.table, ...more, '--quiet'])
      setTimeout(() => child.kill('SIGKILL'), after)
      done = (await ended).signal !== 'SIGKILL'
      if (!done) killed++
      expect(await look(), `${command} killed after ${after} ms`).toEqual(before)
    }
    expect((await pseudolake(['table', command, home.table, ...more])).code).toBe(0)
    expect(await look()).toEqual(before)
  }
  expect(killed).toBeGreaterThan(2)
  const { state } = await openFolder(home.table, localStorage(), clock)
  expect(state.metadata.snapshots).toHaveLength(1)
  // What was in the making when it was killed is left, and young.
  const left = readdirSync(join(home.table, 'metadata')).filter((name) => name.startsWith('_expire'))
  expect(left).toEqual([])
  const verified = await pseudolake(['table', 'verify', home.table, '--json'])
  expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean' })
})
