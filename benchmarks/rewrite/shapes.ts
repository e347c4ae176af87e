/** The inputs: kinds of files that people have, each of which is hard on another part of a rewrite. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { withDuckdb } from '../lib/duckdb.ts'
import { measured } from '../lib/measure.ts'
import { BIN } from '../lib/service.ts'

export interface Shape {
  readonly name: string
  readonly what: string
  /** Of the full size; `--scale` makes fewer or more. */
  readonly rows: number
  readonly files?: number
  /** Beside `vin`, which is replaced. */
  readonly columns: readonly string[]
  readonly make: Make
  /** What must be said of the file's chunks of `vin`, so that the shape is what its name says; SQL over parquet_metadata. */
  readonly holds?: string
}

type Make = (to: string, rows: number, file: number) => Promise<void>

const THREE = ['dept_id', 'example_ts']
const RUN_C_ROWS = 13_050_000

/** Rows as the reference's generator makes them: all strings, vin 0 to 9,999. */
const threeColumns = (vin: string) =>
  `floor(random() * 50)::int::varchar as dept_id, ${vin} as vin,
   strftime(timestamp '2024-01-01' + to_microseconds(i * 37), '%Y-%m-%dT%H:%M:%S.%f') as example_ts`
const UNIFORM = threeColumns('floor(random() * 10000)::int::varchar')
const TEXTS = Array.from({ length: 20 }, (_, i) => `'text ' || (hash(i + ${i}) % 1000) as t${i}`)
const NUMBERS = Array.from({ length: 40 }, (_, i) => `(hash(i * ${i + 1}) % 1000000)::int as n${i}`)
const DOUBLES = Array.from({ length: 39 }, (_, i) => `random() as d${i}`)

export const SHAPES: readonly Shape[] = [
  {
    name: 'run-c',
    what: 'the reference’s run C, written by DuckDB: 107 row groups, 10,000 distinct values in dictionaries',
    rows: RUN_C_ROWS,
    columns: THREE,
    make: byDuckdb(UNIFORM),
    holds: `count(*) filter (encodings not like '%DICTIONARY%') <= 1`,
  },
  {
    name: 'run-c-datagen',
    what: 'the same by `pseudolake datagen`',
    rows: RUN_C_ROWS,
    columns: THREE,
    make: byDatagen(['--distinct', '10000']),
  },
  {
    name: 'zipf',
    what: 'a million values of which few are frequent',
    rows: RUN_C_ROWS,
    columns: THREE,
    make: byDatagen(['--distinct', '1000000', '--distribution', 'zipf']),
  },
  {
    name: 'unique',
    what: 'no value twice: what the service and the client stack cost a value',
    rows: 13_000_000,
    columns: THREE,
    make: byDatagen(['--distribution', 'unique']),
  },
  {
    name: 'plain',
    what: 'run C without dictionaries',
    rows: RUN_C_ROWS,
    columns: THREE,
    make: byDuckdb(UNIFORM, 'compression snappy, dictionary_size_limit 1'),
    holds: `count(*) filter (encodings <> 'PLAIN') = 0`,
  },
  {
    name: 'zstd',
    what: 'run C compressed with zstd',
    rows: RUN_C_ROWS,
    columns: THREE,
    make: byDuckdb(UNIFORM, 'compression zstd'),
    holds: `count(*) filter (compression <> 'ZSTD') = 0`,
  },
  {
    name: 'wide',
    what: '100 columns, one of them sensitive',
    rows: 1_000_000,
    columns: [...TEXTS, ...NUMBERS, ...DOUBLES].map((column) => column.split(' as ')[1] as string),
    make: byDuckdb(['floor(random() * 10000)::int::varchar as vin', ...TEXTS, ...NUMBERS, ...DOUBLES].join(', ')),
  },
  {
    name: 'tiny-files',
    what: '2,000 files of 1,000 rows',
    rows: 2_000_000,
    files: 2000,
    columns: THREE,
    make: byDuckdb(UNIFORM),
  },
]

/** So little that a run over it is the start, the key check, the gate and the commit. */
export const START: Shape = {
  name: 'start',
  what: 'a file of 1,000 rows',
  rows: 1000,
  columns: THREE,
  make: byDuckdb(UNIFORM),
}

/** Asked for by name only: it takes 45 GB of disk. */
export const RUN_A: Shape = {
  name: 'run-a',
  what: 'the reference’s run A: 100 files of run C’s shape, 1.3 billion rows',
  rows: 100 * RUN_C_ROWS,
  files: 100,
  columns: THREE,
  make: byDuckdb(UNIFORM),
  holds: `count(*) filter (encodings not like '%DICTIONARY%') <= 100`,
}

/** So that inputs that another version of this file made are made again. */
const VERSION = createHash('sha256')
  .update(readFileSync(import.meta.filename))
  .digest('hex')
  .slice(0, 8)

/** The input's folder, made where it is not there yet: a file is put there whole or not at all. */
export async function inputOf(shape: Shape, scale: number, dir: string): Promise<{ folder: string; rows: number }> {
  // A shape of many files keeps their size, as far as it can.
  const files = Math.max(1, Math.round((shape.files ?? 1) * (shape.files === undefined ? 1 : Math.min(1, scale))))
  const perFile = Math.max(1, Math.round((shape.rows * scale) / files))
  const folder = join(dir, 'inputs', `${shape.name}-${files}x${perFile}-${VERSION}`)
  if (!existsSync(folder)) {
    const making = `${folder}.making`
    rmSync(making, { recursive: true, force: true })
    mkdirSync(making, { recursive: true })
    for (let file = 0; file < files; file++)
      await shape.make(join(making, `part-${String(file).padStart(5, '0')}.parquet`), perFile, file)
    await requireHolds(shape, `${making}/*.parquet`)
    renameSync(making, folder)
  }
  return { folder, rows: files * perFile }
}

async function requireHolds({ name, holds }: Shape, files: string): Promise<void> {
  if (holds === undefined) return
  const [row] = await withDuckdb((sql) =>
    sql.read(`select ${holds} from parquet_metadata('${files}') where path_in_schema = 'vin'`),
  )
  if (row?.[0] !== 'true') throw new Error(`the input of ${name} is not what it should be: ${holds}`)
}

function byDuckdb(columns: string, options = 'compression snappy'): Make {
  return (to, rows, file) =>
    withDuckdb(async (sql) => {
      // One thread, so that the same seed gives the same file.
      await sql.run('set threads = 1')
      await sql.run(`select setseed(${(file % 1000) / 1000})`)
      await sql.run(`copy (select ${columns} from range(${rows}) r(i)) to '${to}' (format parquet, ${options})`)
    })
}

function byDatagen(options: readonly string[]): Make {
  return async (to, rows) => {
    measured({ words: [process.execPath, BIN, 'datagen', '--rows', String(rows), '--out', to, '--quiet', ...options] })
  }
}
