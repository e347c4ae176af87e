import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { afterAll } from 'vitest'
import { openParquet, type ParquetFile } from '../../lib/parquet/open.ts'
import type { Treatment } from '../../lib/parquet/output-tree.ts'
import { type PlanOptions, planRewrite, type RewritePlan } from '../../lib/parquet/plan.ts'
import { type Replace, rewrite } from '../../lib/parquet/rewrite.ts'
import { pathKey } from '../../lib/parquet/schema.ts'
import type { WrittenFile } from '../../lib/parquet/written.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'

export const CREATED_BY = 'pseudolake version 0.0.0 (build test)'

export function fixture(name: string): Uint8Array {
  return readFileSync(new URL(`../fixtures/parquet/${name}`, import.meta.url))
}

/** A pseudonym that holds nothing of the value. */
export function pseudonym(text: string): string {
  return `p.${createHash('sha256').update(text).digest('base64url').slice(0, 20)}`
}

export const REPLACE = { kind: 'replace', as: '', perCell: false, nullable: false } as const
export const DROP = { kind: 'drop' } as const

/** Treatments by dotted path; an empty `as` keeps the name. */
export function treat(columns: Readonly<Record<string, Treatment>>): Map<string, Treatment> {
  return new Map(
    Object.entries(columns).map(([name, treatment]) => {
      const path = name.split('.')
      const as = treatment.kind === 'replace' && treatment.as === '' ? (path.at(-1) as string) : undefined
      return [pathKey(path), as === undefined ? treatment : ({ ...treatment, as } as Treatment)]
    }),
  )
}

export async function stored(bytes: Uint8Array, location = 'memory:/in.parquet') {
  const storage = memoryStorage()
  const object = await storage.create(location, bytes)
  return { storage, object }
}

export async function opened(bytes: Uint8Array): Promise<{ storage: Storage; file: ParquetFile }> {
  const { storage, object } = await stored(bytes)
  return { storage, file: await openParquet(storage, object) }
}

export interface Ran {
  readonly plan: RewritePlan
  readonly written: WrittenFile
  readonly bytes: Uint8Array
  readonly asked: { column: string; texts: readonly string[]; rowGroup: number }[]
}

export interface RunOptions extends Partial<PlanOptions> {
  readonly replace?: Replace
  readonly signal?: AbortSignal
}

export async function run(
  input: Uint8Array | string,
  columns: Readonly<Record<string, Treatment>>,
  options: RunOptions = {},
): Promise<Ran> {
  const { storage, file } = await opened(typeof input === 'string' ? fixture(input) : input)
  let ids = 0
  const plan = planRewrite(file, treat(columns), { fieldIds: () => ++ids, ...options })
  const asked: Ran['asked'] = []
  const replace: Replace = async (column, texts, where) => {
    asked.push({ column: column.path.join('.'), texts, ...where })
    return options.replace ? options.replace(column, texts, where) : texts.map(pseudonym)
  }
  const writer = await storage.write('memory:/out.parquet')
  const written = await rewrite(JSON.parse(JSON.stringify(plan)) as RewritePlan, {
    storage,
    file,
    writer,
    replace,
    createdBy: CREATED_BY,
    ...(options.signal && { signal: options.signal }),
  })
  return { plan, written, bytes: await storage.read('memory:/out.parquet'), asked }
}

export type Row = Record<string, unknown>

/** DuckDB, which shares no code with the engine under test. */
export function duckdb() {
  const folder = mkdtempSync(join(tmpdir(), 'pseudolake-parquet-'))
  let connection: Promise<DuckDBConnection> | undefined
  let files = 0
  afterAll(async () => {
    ;(await connection)?.closeSync()
    rmSync(folder, { recursive: true, force: true })
  }, 120_000)

  async function query(sql: string): Promise<Row[]> {
    connection ??= DuckDBInstance.create(':memory:', { threads: '1' }).then(async (instance) => {
      const made = await instance.connect()
      await made.run("SET TimeZone='UTC'")
      return made
    })
    return (await (await connection).runAndReadAll(sql)).getRowObjectsJson()
  }

  function put(bytes: Uint8Array): string {
    const path = join(folder, `${++files}.parquet`)
    writeFileSync(path, bytes)
    return path
  }

  return {
    query,
    put,
    rows: (bytes: Uint8Array, select = '*') => query(`SELECT ${select} FROM read_parquet('${put(bytes)}')`),
    /** The bytes of a file that DuckDB writes. */
    async copy(select: string, options = ''): Promise<Uint8Array> {
      const path = join(folder, `${++files}.parquet`)
      await query(`COPY (${select}) TO '${path}' (FORMAT parquet${options && `, ${options}`})`)
      return readFileSync(path)
    },
  }
}

/** The value with `map` applied to its strings that are not empty, wherever they are. */
export function mapStrings(value: unknown, map: (text: string) => unknown): unknown {
  if (typeof value === 'string') return value === '' ? '' : map(value)
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapStrings(item, map)]))
}

/** Byte arrays in PLAIN encoding. */
export function plain(values: readonly string[]): Uint8Array {
  const out = Buffer.alloc(values.reduce((size, value) => size + 4 + Buffer.byteLength(value), 0))
  let at = 0
  for (const value of values) {
    const length = out.write(value, at + 4)
    at = out.writeUInt32LE(length, at) + length
  }
  return out
}
