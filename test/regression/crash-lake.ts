/** A lake in memory with a service that costs nothing: what thousands of killed runs and their reruns stand on. */
import { createHash } from 'node:crypto'
import { parquetReadObjects } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect } from 'vitest'
import { composeClient } from '../../lib/client/compose.ts'
import { inProcessTransport } from '../../lib/client/transports/in-process.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { plainCatalog } from '../../pipelines/batch/plain/catalog.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { runBatch } from '../../pipelines/batch/run.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'

export const TABLE = '/warehouse/db/t'
const ROWS = 3

/** Plain files in the place of the table. */
export const FOLDER = '/out'
const HIDDEN = `${FOLDER}/_pseudolake`

function jobWith(maxFiles: number, plain: boolean) {
  const source = {
    job: 'crash',
    input: { path: '/in', changed: 'replace' },
    columns: { vin: { mode: 'deterministic' } },
    service: { embedded: { keyring: 'none' } },
    output: plain ? { format: 'parquet', path: FOLDER } : { table: 'db.t', warehouse: '/warehouse' },
    commit: { max_files: maxFiles },
  }
  return batchJob(readBatchConfig(JSON.stringify(source)), '/')
}

const clock = systemClock()
// Backing off would take longer than everything else.
const impatient = { ...clock, sleep: async () => {} }

export interface CrashLake {
  readonly storage: Storage
  /** The same in a storage of its own. */
  copy(): Promise<CrashLake>
  /** Puts an input there, or other content in its place. */
  put(name: string, content: string): Promise<void>
  run(storage: Storage): Promise<BatchReport>
  /** Holds table and ledger against the inputs, and what lies about against the list of `table verify`. */
  check(): Promise<void>
}

let runs = 0

/** @param maxFiles of a step @param plain writes plain files */
export function crashLake(
  maxFiles: number,
  plain = false,
  storage = memoryStorage(),
  content = new Map<string, string>(),
): CrashLake {
  const job = jobWith(maxFiles, plain)
  const run = async (through: Storage) =>
    runBatch(job, {
      storage: through,
      catalog: plain
        ? plainCatalog({ storage: through, warehouse: FOLDER, clock: impatient })
        : filesystemCatalog({ storage: through, warehouse: '/warehouse', clock: impatient }),
      connect: async () => composeClient(service, { clock: impatient, random: () => 0.5, cacheBytes: 1 << 20 }),
      clock: impatient,
      random: () => 0.5,
      uuid: () => crypto.randomUUID(),
      runId: `run-${String(++runs).padStart(6, '0')}`,
      createdBy: 'pseudolake version 0.0.0',
      command: 'pseudolake batch --config crash.yaml',
      usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
      signal: new AbortController().signal,
    })

  async function checkFolder(): Promise<void> {
    expect(await run(storage)).toMatchObject({ status: 'nothing-to-do', skipped_files: content.size })
    expect(await plainRows(storage)).toEqual([...content.values()].flatMap(expectedRows).sort())
    const { metadata } = await openTable(storage, `${HIDDEN}/marks/files`)
    const marked = new Set<string>()
    for await (const { file } of planFiles(storage, metadata)) marked.add(file.path)
    const loose: string[] = []
    for await (const { location } of storage.list(`${FOLDER}/`))
      if (location.startsWith(`${HIDDEN}/intents/`) || (location.endsWith('.parquet') && !marked.delete(location)))
        loose.push(location)
    expect([...loose, ...marked]).toEqual([])
  }

  return {
    storage,
    run,
    async copy() {
      return crashLake(maxFiles, plain, await copied(storage), new Map(content))
    },
    async put(name, text) {
      content.set(name, text)
      await storage.replace(`/in/${name}`, inputFile(text))
    },
    async check() {
      if (plain) return checkFolder()
      expect(await run(storage)).toMatchObject({ status: 'nothing-to-do', skipped_files: content.size })
      const { metadata, metadataLocation } = await openTable(storage, TABLE)
      const files: string[] = []
      const rows: string[] = []
      for await (const { file } of planFiles(storage, metadata)) {
        files.push(file.path)
        rows.push(...(await rowsOf(storage, file.path)))
      }
      expect(rows.sort()).toEqual([...content.values()].flatMap(expectedRows).sort())
      expect(new Set(files).size).toBe(files.length)
      const { findings } = await verifyTable({ metadata, metadataLocation }, { storage, now: 0 })
      expect(findings.filter(({ kind }) => kind !== 'orphan')).toEqual([])
      const listed = new Set(findings.map(({ location }) => location))
      const loose: string[] = []
      for await (const { location } of storage.list(`${TABLE}/data/`))
        if (!files.includes(location)) loose.push(location)
      for await (const { location } of storage.list('/warehouse/'))
        if (location.includes('/_tmp-')) loose.push(location)
      // Of what replaced inputs were, older snapshots still have the files.
      const history = await filesOfHistory(storage)
      expect(loose.filter((location) => !listed.has(location) && !history.has(location))).toEqual([])
    },
  }
}

/** What a plain reader finds. */
export async function plainRows(storage: Storage): Promise<string[]> {
  const rows: string[] = []
  for await (const { location } of storage.list(`${FOLDER}/`))
    if (location.endsWith('.parquet') && !location.slice(FOLDER.length + 1).includes('/'))
      rows.push(...(await rowsOf(storage, location)))
  return rows.sort()
}

/** With the versions that ledgers remember: those of storage in memory count writes, so as many are made. */
async function copied(storage: Storage): Promise<Storage> {
  const objects: StoredObject[] = []
  for await (const object of storage.list('/')) objects.push(object)
  const other = memoryStorage()
  let writes = 0
  for (const { location, modified } of objects.sort((a, b) => a.modified - b.modified)) {
    while (++writes < modified) await other.replace('/filler', new Uint8Array(0))
    await other.create(location, await storage.read(location))
  }
  await other.delete('/filler')
  return other
}

const service = inProcessTransport(({ values, domain }) => ({
  values: values.map(pseudonymOf),
  domain,
  keys: ['test'],
}))

function pseudonymOf(value: string): string {
  return `p2.test.${createHash('sha256').update(value).digest('base64url')}`
}

function valuesOf(text: string): string[] {
  return Array.from({ length: ROWS }, (_, i) => `VIN-${text}-${i % 2}`)
}

function inputFile(text: string): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'vin', data: valuesOf(text), type: 'STRING' },
        { name: 'n', data: Int32Array.from({ length: ROWS }, (_, i) => i), type: 'INT32' },
      ],
    }),
  )
}

function expectedRows(text: string): string[] {
  return valuesOf(text).map((value, i) => `${pseudonymOf(value)} ${i}`)
}

async function rowsOf(storage: Storage, path: string): Promise<string[]> {
  const { buffer, byteOffset, byteLength } = await storage.read(storageLocation(path))
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
  return (await parquetReadObjects({ file })).map(({ s_vin, n }) => `${s_vin} ${n}`)
}

async function filesOfHistory(storage: Storage): Promise<Set<string>> {
  const { metadata } = await openTable(storage, TABLE)
  const files = new Set<string>()
  for (const snapshot of metadata.snapshots)
    for await (const { file } of planFiles(storage, metadata, BigInt(snapshot['snapshot-id']))) files.add(file.path)
  return files
}
