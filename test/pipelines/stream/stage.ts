/** A stream in memory, a lake beside it, and runs between the two: what tests of streams stand on. */
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { onTestFinished } from 'vitest'
import type { Client } from '../../../lib/client/compose.ts'
import { type Clock, systemClock } from '../../../lib/core/clock.ts'
import type { Catalog } from '../../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../../lib/iceberg/catalogs/filesystem.ts'
import { storageLocation } from '../../../lib/iceberg/locations.ts'
import type { TableMetadata } from '../../../lib/iceberg/metadata.ts'
import { type PlannedFile, planFiles } from '../../../lib/iceberg/scan.ts'
import type { Kinesis } from '../../../lib/kinesis/kinesis.ts'
import { type MemoryKinesis, memoryKinesis } from '../../../lib/kinesis/memory.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { readStreamConfig } from '../../../pipelines/config/load.ts'
import { connectService } from '../../../pipelines/service.ts'
import { asBatch, type StreamJob, streamJob } from '../../../pipelines/stream/job.ts'
import type { StreamOptions } from '../../../pipelines/stream/outside.ts'
import type { Sealer } from '../../../pipelines/stream/quarantine/sealed.ts'
import { x25519Sealer } from '../../../pipelines/stream/quarantine/x25519.ts'
import type { StreamEvent, StreamReport } from '../../../pipelines/stream/report.ts'
import { StreamRun } from '../../../pipelines/stream/run.ts'
import { type Lake, lake } from '../../helpers/lake.ts'

export interface Stage extends Omit<Lake, 'run' | 'plan'> {
  readonly memory: MemoryKinesis
  readonly catalog: Catalog
  /** Puts records, JSON of the objects, or bytes as they are; by a key of theirs. */
  put(records: readonly (object | Buffer | string)[], key?: (record: object, i: number) => string): Promise<void>
  /** Runs the job until it has caught up. */
  run(more?: Settings, outside?: Outside, options?: StreamOptions): Promise<StreamReport>
  /** The run that `run` would make. */
  prepare(
    more?: Settings,
    outside?: Outside,
    options?: StreamOptions,
  ): { run: StreamRun; job: StreamJob; events: StreamEvent[] }
  metadata(): Promise<TableMetadata>
  /** Rows as they were put into the table: commit by commit, and in their order within each file. */
  inOrder(columns: string): Promise<(readonly unknown[])[]>
}

/** Sections of the configuration, over those that are there. */
export type Settings = Readonly<Record<string, unknown>>

export interface Outside {
  readonly kinesis?: Kinesis
  readonly storage?: Storage
  readonly catalog?: Catalog
  readonly clock?: Clock
  readonly sealer?: Sealer | undefined
  readonly signal?: AbortSignal
  readonly runId?: string
  readonly onEvent?: (event: StreamEvent) => void
  /** Takes the service's client and gives another one. */
  readonly service?: (connect: () => Promise<Client>) => Promise<Client>
}

/** A key pair whose private half only a test has. */
export function recipient(): { readonly publicKey: string; readonly pem: string } {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  return {
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'),
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
  }
}

export async function stage(shards = 2, options: Partial<Parameters<typeof memoryKinesis>[0]> = {}): Promise<Stage> {
  const home = await lake()
  const memory = memoryKinesis({ clock: systemClock(), ...options })
  memory.createStream('s', shards)
  const { dir, keyring } = home
  const warehouse = join(dir, 'warehouse')
  const catalog = filesystemCatalog({ storage: localStorage(), warehouse, clock: systemClock() })
  const prepare: Stage['prepare'] = (more = {}, outside = {}, runOptions = { untilCaughtUp: true }) => {
    const settings = readStreamConfig(
      JSON.stringify({
        job: 'test',
        input: { stream: 's' },
        columns: { vin: { mode: 'deterministic' } },
        service: { embedded: { keyring } },
        output: { table: 'db.t', warehouse },
        ...more,
      }),
    )
    const job = streamJob(settings, dir)
    const clock = outside.clock ?? systemClock()
    const events: StreamEvent[] = []
    const connect = () =>
      connectService(asBatch(settings), { env: {}, cwd: dir, clock, random: Math.random, randomBytes })
    const run = new StreamRun(
      job,
      {
        storage: outside.storage ?? localStorage(),
        catalog: outside.catalog ?? filesystemCatalog({ storage: outside.storage ?? localStorage(), warehouse, clock }),
        kinesis: outside.kinesis ?? memory,
        streamName: 's',
        consumer: { pace: { busyMs: 1, idleMs: 5, backoffMs: 1, maxBackoffMs: 20 }, resyncMs: 500 },
        connect: () => (outside.service ? outside.service(connect) : connect()),
        sealer:
          outside.sealer ??
          (job.quarantine && 'x25519' in job.quarantine.recipient
            ? x25519Sealer(job.quarantine.recipient.x25519)
            : undefined),
        clock,
        random: Math.random,
        uuid: randomUUID,
        runId: outside.runId ?? `run-${randomUUID().slice(0, 8)}`,
        createdBy: 'pseudolake version 0.0.0',
        command: 'pseudolake stream --config test.yaml',
        resetCommand: 'pseudolake stream positions reset --config test.yaml --reason TEXT',
        usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
        signal: outside.signal ?? new AbortController().signal,
        onEvent: (event) => {
          events.push(event)
          outside.onEvent?.(event)
        },
      },
      runOptions,
    )
    return { run, job, events }
  }
  return {
    ...home,
    memory,
    catalog,
    prepare,
    run: (...given) => prepare(...given).run.run(),
    async put(records, key = (_, i) => `key-${i}`) {
      await memory.put(
        's',
        records.map((record, i) => ({
          partitionKey: key(record as object, i),
          data: Buffer.isBuffer(record)
            ? record
            : Buffer.from(typeof record === 'string' ? record : JSON.stringify(record)),
        })),
      )
    },
    async inOrder(columns) {
      const { metadata } = await catalog.load({ database: 'db', name: 't' })
      const files: PlannedFile[] = []
      for await (const file of planFiles(localStorage(), metadata)) files.push(file)
      const sorted = files.toSorted(
        (a, b) => a.sequenceNumber - b.sequenceNumber || (a.file.path < b.file.path ? -1 : 1),
      )
      const instance = await DuckDBInstance.create(':memory:')
      const connection = await instance.connect()
      try {
        const rows: (readonly unknown[])[] = []
        for (const { file } of sorted) {
          const path = storageLocation(file.path)
          const read = await connection.runAndReadAll(
            `select ${columns} from read_parquet('${path}', file_row_number = true) order by file_row_number`,
          )
          rows.push(...read.getRowsJson())
        }
        return rows
      } finally {
        connection.closeSync()
        instance.closeSync()
      }
    },
    metadata: async () => (await catalog.load({ database: 'db', name: 't' })).metadata,
  }
}

/** A consumer that runs until the test ends, or is stopped. */
export function background(on: Stage, more: Settings = {}, outside: Outside = {}) {
  const stop = new AbortController()
  const { run, events } = on.prepare(more, { ...outside, signal: stop.signal }, {})
  const ended = run.run().then(
    (report) => ({ report, error: undefined }),
    (error: unknown) => ({ report: undefined, error }),
  )
  onTestFinished(async () => {
    stop.abort(new Error('the test is over'))
    await ended
  })
  return { run, events, ended, stop: () => stop.abort(new Error('SIGTERM')) }
}

/** Waits until something is so. */
export async function until(is: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await is())) {
    if (performance.now() > end) throw new Error(`it did not come to be so: ${is}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
