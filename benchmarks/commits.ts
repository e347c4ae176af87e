/**
 * What a commit costs us: appends of one file to tables with many snapshots, and to tables with many data files, on this disk and without a
 * server, so the time is that of reading, changing and writing metadata. PyIceberg reads each table before a number of it is reported.
 *
 *   node benchmarks/commits.ts [--snapshots 1,100,1000,10000] [--files 1,1000,100000] [--repeat 20]
 *
 * Needs scripts/interop/install.sh.
 */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../lib/core/clock.ts'
import type { Catalog, TableState } from '../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../lib/iceberg/catalogs/filesystem.ts'
import { memoryCatalog } from '../lib/iceberg/catalogs/memory.ts'
import type { DataFile } from '../lib/iceberg/data-file.ts'
import { currentSnapshot, type Snapshot } from '../lib/iceberg/metadata.ts'
import { appendFiles } from '../lib/iceberg/operations/append.ts'
import type { Schema } from '../lib/iceberg/types.ts'
import { snapshotUpdates, type TableUpdate } from '../lib/iceberg/updates.ts'
import { localStorage } from '../lib/storage/local.ts'
import type { Storage } from '../lib/storage/storage.ts'
import { machine } from './lib/measure.ts'

const { values } = parseArgs({
  options: {
    snapshots: { type: 'string', default: '1,100,1000,10000' },
    files: { type: 'string', default: '1,1000,100000' },
    repeat: { type: 'string', default: '20' },
  },
})
const repeat = Number(values.repeat)
const numbers = (list: string) => list.split(',').map(Number)
const PYTHON = join(process.env.INTEROP_DIR ?? join(homedir(), '.cache', 'pseudolake-interop'), 'venv', 'bin', 'python')
const TABLE = { database: 'db', name: 't' }
const SCHEMA: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: ['dept_id', 's_vin', 'example_ts'].map((name, i) => ({ id: i + 1, name, required: false, type: 'string' })),
}
/** Of one addition: as many as a manifest holds. */
const FILES_AT_ONCE = 8000
const context = { clock: systemClock(), random: Math.random, uuid: randomUUID }
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-commits-'))

interface Traffic {
  calls: number
  read: number
  written: number
}

try {
  const results: Record<string, unknown>[] = []
  const shapes = [
    ...numbers(values.snapshots).map((snapshots) => [snapshots, 1] as const),
    ...numbers(values.files)
      .filter((files) => files > 1)
      .map((files) => [1, files] as const),
  ]
  for (const catalog of ['filesystem', 'pointer'] as const)
    for (const [snapshots, files] of shapes) results.push(await measure(catalog, snapshots, files))
  process.stdout.write(`${JSON.stringify({ machine: machine(), repeat, results }, null, 2)}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

async function measure(kind: 'filesystem' | 'pointer', snapshots: number, files: number) {
  const traffic: Traffic = { calls: 0, read: 0, written: 0 }
  const storage = counted(localStorage(), traffic)
  const warehouse = join(dir, `${kind}-${snapshots}-${files}`)
  const catalog =
    kind === 'filesystem'
      ? filesystemCatalog({ storage, warehouse, clock: context.clock })
      : memoryCatalog({ storage, warehouse, clock: context.clock, uuid: randomUUID })
  await fill(catalog, snapshots, files)
  const before = { ...traffic }
  const seconds: number[] = []
  let cpu = process.cpuUsage()
  for (let i = 0; i < repeat; i++) {
    const start = performance.now()
    await append(catalog, [dataFile(`timed-${i}`)])
    seconds.push((performance.now() - start) / 1000)
  }
  cpu = process.cpuUsage(cpu)
  const each = (key: keyof Traffic) => Math.round((traffic[key] - before[key]) / repeat)
  judge(await catalog.load(TABLE), snapshots + repeat, files + repeat)
  seconds.sort((a, b) => a - b)
  return {
    catalog: kind,
    snapshots,
    files,
    commit_ms: {
      least: round(1000 * (seconds[0] as number)),
      median: round(1000 * (seconds[repeat >> 1] as number)),
      greatest: round(1000 * (seconds.at(-1) as number)),
      cpu: round((cpu.user + cpu.system) / 1000 / repeat),
    },
    of_one: { storage_calls: each('calls'), bytes_read: each('read'), bytes_written: each('written') },
  }
}

/** A table of so many snapshots and data files: files by real commits, further snapshots all at once. */
async function fill(catalog: Catalog, snapshots: number, files: number): Promise<void> {
  for (let from = 0; from < files; from += FILES_AT_ONCE)
    await append(
      catalog,
      Array.from({ length: Math.min(FILES_AT_ONCE, files - from) }, (_, i) => dataFile(`file-${from + i}`)),
    )
  const state = await catalog.load(TABLE)
  const head = currentSnapshot(state.metadata) as Snapshot
  const updates: TableUpdate[] = []
  for (let i = state.metadata.snapshots.length, parent = head['snapshot-id']; i < snapshots; i++) {
    const id = (1n << 62n) + BigInt(i)
    // Of the size that a run's are: the summary is most of a snapshot.
    const summary = {
      ...head.summary,
      'pseudolake.job': 'nightly',
      'pseudolake.epoch': String(i),
      'pseudolake.digest': '0'.repeat(32),
    }
    updates.push(
      ...snapshotUpdates({
        ...head,
        'snapshot-id': id,
        'parent-snapshot-id': parent,
        'sequence-number': state.metadata['last-sequence-number'] + updates.length / 2 + 1,
        summary,
      }),
    )
    parent = id
  }
  if (updates.length > 0) await catalog.commit(TABLE, state, updates)
}

function append(catalog: Catalog, files: readonly DataFile[]) {
  return appendFiles(catalog, TABLE, { schema: SCHEMA, create: { properties: {} }, files, runId: 'bench' }, context)
}

/** With what manifests say of a file of three columns. */
function dataFile(name: string): DataFile {
  const perColumn = <T>(value: T) => new Map(SCHEMA.fields.map(({ id }) => [id, value]))
  const bound = new TextEncoder().encode('sixteen letters.')
  return {
    content: 'data',
    path: `${dir}/data/20261126-0a1b2c3d-${name}.parquet`,
    format: 'PARQUET',
    partition: new Map(),
    rows: 1,
    bytes: 1_000_000,
    columnSizes: perColumn(300_000),
    valueCounts: perColumn(1),
    nullCounts: perColumn(0),
    lowerBounds: perColumn(bound),
    upperBounds: perColumn(bound),
    splitOffsets: [4],
  }
}

/** @throws Error when PyIceberg finds another number of snapshots, or of files in the manifests of the current one */
function judge({ metadataLocation }: TableState, snapshots: number, files: number): void {
  const script = `
import sys
from pyiceberg.table import StaticTable
t = StaticTable.from_metadata(sys.argv[1])
manifests = t.current_snapshot().manifests(t.io)
print(len(t.snapshots()), sum(m.added_files_count + m.existing_files_count for m in manifests))`
  const found = execFileSync(PYTHON, ['-c', script, metadataLocation], { encoding: 'utf8' }).trim()
  // What was filled in one commit of many snapshots keeps its first ones too.
  const [foundSnapshots, foundFiles] = found.split(' ').map(Number)
  if (foundFiles !== files || (foundSnapshots as number) < snapshots)
    throw new Error(`PyIceberg finds ${found} snapshots and files, ${snapshots} and ${files} were written`)
}

function counted(inner: Storage, traffic: Traffic): Storage {
  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    traffic.calls++
    return work()
  }
  return {
    ...inner,
    stat: (location) => call(() => inner.stat(location)),
    delete: (location) => call(() => inner.delete(location)),
    async read(location, options) {
      const bytes = await call(() => inner.read(location, options))
      traffic.read += bytes.length
      return bytes
    },
    create(location, bytes) {
      traffic.written += bytes.length
      return call(() => inner.create(location, bytes))
    },
    replace(location, bytes) {
      traffic.written += bytes.length
      return call(() => inner.replace(location, bytes))
    },
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
