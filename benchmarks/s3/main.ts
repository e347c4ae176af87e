/**
 * Run C of the reference out of a bucket and into one, against the same on the disk: wall and CPU time, memory, requests.
 *
 *   node benchmarks/s3/main.ts [--rows 13050000] [--repeat 3] [--latency MS] [--files N] [--dir D]
 *
 * The store is versitygw on this machine (scripts/interop/install.sh), so it takes its share of the cores; the requests are counted by one of
 * ours, which waits as long before each answer as --latency says; with --files, N files of 1 MB are asked of it too. DuckDB compares the tables before anything is timed.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { CREDENTIALS, REGION, s3Over } from '../../test/helpers/s3/open.ts'
import { versitygw } from '../../test/helpers/s3/versitygw.ts'
import { withDuckdb } from '../lib/duckdb.ts'
import { measured, spread } from '../lib/measure.ts'
import { BIN } from '../lib/service.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '13050000' },
    repeat: { type: 'string', default: '3' },
    latency: { type: 'string', default: '20' },
    files: { type: 'string', default: '0' },
    dir: { type: 'string', default: join(tmpdir(), 'pseudolake-bench-s3') },
  },
})
const { dir } = values
const input = join(dir, 'in', `c-${values.rows}.parquet`)
const keyring = join(dir, 'keys.json')

function config(name: string, path: string, warehouse: string): string {
  const file = join(dir, `${name}.json`)
  const [columns, service] = [{ vin: { mode: 'deterministic' } }, { embedded: { keyring } }]
  writeFileSync(
    file,
    JSON.stringify({ job: 'bench', input: { path }, columns, service, output: { table: 'bench.t', warehouse } }),
  )
  return file
}

function batch(file: string, endpoint?: string, rows?: number) {
  const env = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
    ...(endpoint !== undefined && { AWS_ENDPOINT_URL_S3: endpoint }),
  }
  const { stdout, ...usage } = measured({
    words: [process.execPath, BIN, 'batch', '--config', file, '--json', '--quiet'],
    env,
  })
  const report = JSON.parse(stdout)
  if (report.status !== 'done' || (rows !== undefined && report.rows !== rows))
    throw new Error(`the run ended with ${report.status}`)
  return { ...usage, phases: report.phases as { name: string; seconds: number }[] }
}

/** Rows, pseudonyms, and a sum over all cells: the keyring is the same. */
async function sums(folder: string): Promise<string> {
  return withDuckdb(async ({ read }) => {
    const columns = 'count(*), count(distinct s_vin), bit_xor(hash(dept_id, s_vin, example_ts))'
    const [row] = await read(`select ${columns} from '${folder}/*.parquet'`)
    return String(row)
  })
}

/** Out of a store that answers late, into it. @param from a folder of the files, or the only one */
async function late(title: string, config: string, names: readonly string[], from: string): Promise<void> {
  const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts'), '--latency', values.latency], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]()
    const endpoint = (await lines.next()).value as string
    const storage = s3Over(endpoint)
    const fileOf = (name: string) => (names.length === 1 ? from : join(from, name))
    await Promise.all(names.map((name) => storage.create(`s3://raw/in/${name}`, readFileSync(fileOf(name)))))
    server.stdin.write('\n')
    await lines.next()
    const { wallSeconds } = batch(config, endpoint)
    server.stdin.write('\n')
    const counts = JSON.parse((await lines.next()).value as string) as Record<string, number>
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0)
    const each = Object.entries(counts).map(([operation, count]) => `${operation} ${count}`)
    process.stdout.write(
      `${title}, answers ${values.latency} ms late: wall ${wallSeconds.toFixed(2)} s; ${all} requests: ${each.join(', ')}\n`,
    )
  } finally {
    server.stdin.end()
  }
}

mkdirSync(join(dir, 'in'), { recursive: true })
if (!existsSync(input))
  measured({ words: [process.execPath, BIN, 'datagen', '--rows', values.rows, '--distinct', '10000', '--out', input] })
rmSync(keyring, { force: true })
measured({ words: [process.execPath, BIN, 'keys', 'create', '--out', keyring] })

const rows = Number(values.rows)
const store = await versitygw('raw', 'lake')
try {
  await s3Over(store.endpoint).create('s3://raw/in/c.parquet', readFileSync(input))
  const local = config('local', input, join(dir, 'warehouse'))
  const bucket = config('bucket', 's3://raw/in/', 's3://lake/warehouse')
  const clean = () => {
    rmSync(join(dir, 'warehouse'), { recursive: true, force: true })
    for (const name of readdirSync(join(store.dir, 'lake'))) rmSync(join(store.dir, 'lake', name), { recursive: true })
  }
  clean()
  batch(local, undefined, rows)
  batch(bucket, store.endpoint, rows)
  const tables = [join(dir, 'warehouse/bench/t/data'), join(store.dir, 'lake/warehouse/bench/t/data')]
  const [here, there] = await Promise.all(tables.map(sums))
  if (here !== there) throw new Error(`the tables differ: ${here}, ${there}`)
  process.stdout.write(`equal tables: ${here}\n`)

  const runs: Record<string, ReturnType<typeof batch>[]> = { local: [], bucket: [] }
  for (let i = 0; i < Number(values.repeat); i++) {
    clean()
    runs.local?.push(batch(local, undefined, rows))
    runs.bucket?.push(batch(bucket, store.endpoint, rows))
  }
  for (const [name, all] of Object.entries(runs)) {
    const wall = spread(all.map(({ wallSeconds }) => wallSeconds))
    const cpu = spread(all.map(({ cpuSeconds }) => cpuSeconds))
    const peak = Math.max(...all.map(({ peakRssMb }) => peakRssMb))
    const phases = all[0]?.phases.map((phase) => `${phase.name} ${phase.seconds.toFixed(2)}`).join(', ')
    process.stdout.write(
      `${name}: wall ${wall.least} (median ${wall.median}) s, CPU ${cpu.least} s, peak ${peak.toFixed(0)} MB; ${phases}\n`,
    )
  }

  await late('run C', bucket, ['c.parquet'], join(dir, 'in', `c-${values.rows}.parquet`))
  const files = Number(values.files)
  if (files > 0) {
    const folder = join(dir, `small-${files}`)
    if (!existsSync(folder)) {
      const size = ['datagen', values.files, '--files', values.files, '--distinct', '10000', '--seed', '3']
      measured({ words: [process.execPath, BIN, ...size, '--out', folder] })
    }
    await late(`${files} files of 1 MB`, bucket, readdirSync(folder), folder)
  }
} finally {
  await store.stop()
}
