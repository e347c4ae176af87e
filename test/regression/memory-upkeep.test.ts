import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { localStorage } from '../../lib/storage/local.ts'
import type { CompactReport } from '../../pipelines/tables/compact.ts'
import type { ExpireReport } from '../../pipelines/tables/expire.ts'
import { duckdb } from '../helpers/lake.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { namedFile, SIMPLE } from '../iceberg/tables.ts'

const MB = 2 ** 20
const TABLE = { database: 'db', name: 't' }
const run = promisify(execFile)

function home() {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-memory-upkeep-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const clock = waitlessClock()
  const catalog = filesystemCatalog({ storage: localStorage(), warehouse: dir, clock })
  return { dir, location: join(dir, 'db', 't'), catalog, context: { clock, random: () => 0.5, uuid: randomUUID } }
}

async function measured<R>(what: 'expire' | 'compact', location: string) {
  const { stdout } = await run(process.execPath, ['test/regression/memory-upkeep-run.ts', what, location], {
    maxBuffer: 64 * MB,
  })
  const { report, peak } = JSON.parse(stdout) as { report: R; peak: number }
  return { report, mb: peak / MB }
}

/** A table that had `files` files, of which half were taken out of it. */
async function outlived(files: number): Promise<string> {
  const { location, catalog, context } = home()
  const options = { schema: SIMPLE, create: { properties: { 'commit.manifest-merge.enabled': 'false' } }, runId: 'run' }
  const path = (i: number) => `${location}/data/run-of-a-usual-length-${String(i).padStart(9, '0')}.parquet`
  const all = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => namedFile(path(from + i)))
  await appendFiles(catalog, TABLE, { ...options, files: all(0, files / 2) }, context)
  await appendFiles(catalog, TABLE, { ...options, files: all(files / 2, files) }, context)
  const remove = Array.from({ length: files / 2 }, (_, i) => path(i))
  await overwriteFiles(catalog, TABLE, { ...options, files: [], remove }, context)
  return location
}

test('an expiry takes some bytes for each file of the table, and no more', { timeout: 240_000 }, async () => {
  const small = await measured<ExpireReport>('expire', await outlived(20_000))
  const large = await measured<ExpireReport>('expire', await outlived(400_000))
  expect(large.report).toMatchObject({ status: 'done', kept_snapshots: 1, removed: { data_files: 200_000 } })
  // Hashes of 600,000 locations in tables that double, twice over for the orphans: 32 bytes each at most.
  expect(large.mb - small.mb).toBeLessThan(128)
})

const SCHEMA: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    { id: 1, name: 'vin', required: false, type: 'string' },
    { id: 2, name: 'note', required: false, type: 'string' },
  ],
}

async function manyFiles(files: number, rows: number): Promise<{ location: string; bytes: number }> {
  const { location, catalog, context } = home()
  mkdirSync(join(location, 'data'), { recursive: true })
  const made: DataFile[] = []
  for (let i = 0; i < files; i++) {
    const path = join(location, 'data', `${i}.parquet`)
    await duckdb(
      `copy (select 'VIN' || (n % 9999) as vin, repeat('x', 40) || hash(n + ${i}) as note from range(${rows}) r(n)) to '${path}' (format parquet, field_ids {vin: 1, note: 2}, compression uncompressed)`,
    )
    const { size } = statSync(path)
    made.push({ content: 'data', path, format: 'PARQUET', partition: new Map(), rows, bytes: size })
  }
  await appendFiles(catalog, TABLE, { schema: SCHEMA, create: { properties: {} }, files: made, runId: 'run' }, context)
  return { location, bytes: made.reduce((sum, { bytes }) => sum + bytes, 0) }
}

test('a compaction takes no more memory for files that are ten times as large', { timeout: 240_000 }, async () => {
  const few = await manyFiles(6, 30_000)
  const small = await measured<CompactReport>('compact', few.location)
  const many = await manyFiles(6, 300_000)
  expect(many.bytes).toBeGreaterThan(100 * MB)
  const large = await measured<CompactReport>('compact', many.location)
  expect(large.report).toMatchObject({ status: 'done', files_removed: 6, files_added: 1, rows: 1_800_000 })
  expect(large.mb - small.mb).toBeLessThan(64)
})
