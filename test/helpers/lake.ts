/** A folder with inputs made by DuckDB, a keyring, and a table that batch runs write: what tests of the whole flow stand on. */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { onTestFinished } from 'vitest'
import type { Client } from '../../lib/client/compose.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { localStorage } from '../../lib/storage/local.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { plainCatalog } from '../../pipelines/batch/plain/catalog.ts'
import type { BatchPlan } from '../../pipelines/batch/plan/document.ts'
import { shippedPrices } from '../../pipelines/batch/plan/prices.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { type BatchOptions, type BatchOutside, planBatch, runBatch } from '../../pipelines/batch/run.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { connectService } from '../../pipelines/service.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { reidentify } from '../../service/operations/operations.ts'

export interface Lake {
  readonly dir: string
  readonly keyring: string
  /** Location of the table `db.t`. */
  readonly table: string
  /** Runs statements in DuckDB; `{dir}` stands for the folder. */
  sql(statements: string): Promise<void>
  /** Runs the job; `columns` in the configuration's form. */
  run(job: JobOverrides, options?: BatchOptions, outside?: LakeOutside): Promise<BatchReport>
  /** Plans the job; prices as shipped. */
  plan(job: JobOverrides, options?: BatchOptions, outside?: LakeOutside): Promise<BatchPlan>
  /** Runs a query in which `t` is the table; rows as arrays of JSON values. */
  query(sql: string): Promise<(readonly unknown[])[]>
  /** The identifiers behind pseudonyms; null and '' are their own. */
  back(pseudonyms: readonly unknown[], domain?: string): Promise<(string | null)[]>
}

export interface LakeOutside extends Partial<BatchOutside> {
  /** Done when the run has planned and connects to its service. */
  readonly meanwhile?: () => Promise<unknown>
  /** Takes the service's client and gives another one. */
  readonly service?: (connect: () => Promise<Client>) => Promise<Client>
}

export interface JobOverrides {
  readonly input?: string
  readonly columns: Record<string, unknown>
  /** Plain Parquet files in `{dir}/out`, in the place of the table. */
  readonly plain?: boolean
  /** `--set` overrides. */
  readonly set?: readonly string[]
}

export async function lake(domains: readonly string[] = ['default']): Promise<Lake> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-lake-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, createKeyring({ domains, randomBytes, now: Date.now() }), randomBytes)
  const table = join(dir, 'warehouse', 'db', 't')
  const storage = localStorage()

  return {
    dir,
    keyring,
    table,
    sql: (statements) => duckdb(statements.replaceAll('{dir}', dir)),
    plan: (job, options, outside) => plan(job, options ?? {}, { dir, keyring, storage, ...outside }),
    run: (job, options, outside) => run(job, options ?? {}, { dir, keyring, storage, ...outside }),
    query: async (sql) =>
      (await runQuery(sql, { storage, tables: new Map([['t', table]]), maxRows: 1_000_000 })).rows.slice(),
    back: async (pseudonyms, domain = 'default') => {
      const keys = openKeyring(await loadKeyring(keyring), nobleKernel, { randomBytes })
      const places = pseudonyms.flatMap((value, i) => (typeof value === 'string' && value !== '' ? [i] : []))
      const { values } = await reidentify(keys, { domain, values: places.map((i) => pseudonyms[i] as string) })
      const result = pseudonyms.map((value) => (value === '' ? '' : null)) as (string | null)[]
      for (const [i, place] of places.entries()) result[place] = values[i] as string
      return result
    },
  }
}

interface Place extends LakeOutside {
  readonly dir: string
  readonly keyring: string
  readonly storage: Storage
}

async function run(job: JobOverrides, options: BatchOptions, place: Place): Promise<BatchReport> {
  const prepared = prepare(job, place)
  return runBatch(prepared.job, prepared.outside, options)
}

async function plan(job: JobOverrides, options: BatchOptions, place: Place): Promise<BatchPlan> {
  const prepared = prepare(job, place)
  return planBatch(prepared.job, prepared.outside, { plan: shippedPrices(), ...options })
}

function prepare({ input = '{dir}/in', columns, set = [], plain = false }: JobOverrides, place: Place) {
  const { dir, keyring, storage, meanwhile, service, ...outside } = place
  const source = JSON.stringify({
    job: 'test',
    input: { path: input.replaceAll('{dir}', dir) },
    columns,
    service: { embedded: { keyring } },
    output: plain
      ? { format: 'parquet', path: join(dir, 'out') }
      : { table: 'db.t', warehouse: join(dir, 'warehouse') },
  })
  const settings = readBatchConfig(source, { set })
  const clock = systemClock()
  const job = batchJob(settings, dir)
  const connect = async (): Promise<Client> => {
    await meanwhile?.()
    const own = () => connectService(settings, { env: {}, cwd: dir, clock, random: Math.random, randomBytes })
    return service ? service(own) : own()
  }
  return {
    job,
    outside: {
      storage,
      catalog: (plain ? plainCatalog : filesystemCatalog)({ storage, warehouse: job.warehouse as string, clock }),
      connect,
      clock,
      random: Math.random,
      uuid: randomUUID,
      runId: `test-${randomUUID().slice(0, 8)}`,
      createdBy: 'pseudolake version 0.0.0',
      command: 'pseudolake batch --config test.yaml',
      usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
      signal: new AbortController().signal,
      ...outside,
    },
  }
}

/** Runs statements in a DuckDB of their own. */
export async function duckdb(statements: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
  const connection = await instance.connect()
  try {
    await connection.run(statements)
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
