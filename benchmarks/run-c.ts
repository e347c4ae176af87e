/**
 * The reference's run C: one file, 13.05 M rows, 10,000 distinct values, the service in a process of its own. The result is checked by
 * DuckDB before anything is reported: every row of the table, pseudonyms turned back, must be a row of the input.
 *
 *   node benchmarks/run-c.ts [--rows N] [--repeat N] [--dir D]      (make bench)
 *
 * Peers on the same file in the same run: DuckDB joining a mapping that it is given for free, and cp. CPU is user and system time of the
 * whole process, the service's included where it says so. Compare ratios: the machine may be busy.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { openKeyring } from '../lib/crypto/keyring.ts'
import { nobleKernel } from '../lib/crypto/noble.ts'
import { loadKeyring } from '../service/keys/file.ts'
import { reidentify } from '../service/operations/operations.ts'

const BIN = resolve('bin/pseudolake.js')
const DUCKDB_WORKER = resolve('benchmarks/duckdb-rewrite.ts')
const API_KEY = randomBytes(24).toString('base64url')

/** Measured on two cores with the reference's own job and service. */
const REFERENCE_ROWS = 13_050_000
const REFERENCE_CPU_SECONDS = 395
const REFERENCE_REQUESTS = 14_500
/** Rows as a multiset: their number, and two sums over their hashes that no swap, loss or doubling leaves as they are. */
const DIGEST =
  'count(*)::varchar, bit_xor(hash(dept_id, vin, example_ts))::varchar, sum(hash(dept_id, vin, example_ts)::hugeint)::varchar'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '13050000' },
    repeat: { type: 'string', default: '3' },
    dir: { type: 'string', default: join(tmpdir(), 'pseudolake-bench') },
  },
})
const dir = resolve(values.dir)
const rows = Number(values.rows)
const input = join(dir, `c-${rows}.parquet`)
const keyring = join(dir, 'keys.json')
mkdirSync(dir, { recursive: true })
if (!existsSync(input)) cli(['datagen', '--rows', String(rows), '--out', input])
if (!existsSync(keyring)) cli(['keys', 'create', '--out', keyring])

const service = spawn(process.execPath, [BIN, 'service', 'start', '--keyring', keyring, '--port', '0'], {
  env: { ...process.env, PSEUDOLAKE_API_KEY: API_KEY },
  stdio: ['ignore', 'pipe', 'ignore'],
})
try {
  const url = (await firstLine(service)).slice('listening on '.length)
  const runs: Measured[] = []
  for (let i = 0; i < Number(values.repeat); i++) runs.push(run(url))
  const checked = await check(runs.at(-1)?.location ?? '')
  const duckdb = await peer()
  const copied = copy()
  const best = runs.reduce((a, b) => (b.cpuSeconds < a.cpuSeconds ? b : a))
  const result = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GB`,
    node: process.version,
    rows,
    input_bytes: statSync(input).size,
    checked,
    pseudolake: { ...best, location: undefined, repeats: runs.length },
    duckdb_two_threads: duckdb,
    cp: copied,
    ratios: {
      cpu_duckdb_to_pseudolake: round(duckdb.cpuSeconds / best.cpuSeconds),
      // The reference was measured on this shape only.
      ...(rows === REFERENCE_ROWS && {
        cpu_reference_to_pseudolake: round(REFERENCE_CPU_SECONDS / (best.cpuSeconds + best.serviceCpuSeconds)),
        requests_reference_to_pseudolake: round(REFERENCE_REQUESTS / best.requests),
      }),
    },
  }
  const text = `${JSON.stringify(result, null, 2)}\n`
  writeFileSync(`benchmarks/results/run-c-${rows}.json`, text)
  process.stdout.write(text)
} finally {
  service.kill('SIGTERM')
}

interface Measured {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly serviceCpuSeconds: number
  readonly peakRssMb: number
  readonly requests: number
  readonly outputBytes: number
  readonly location: string
}

function run(url: string): Measured {
  const warehouse = join(dir, 'warehouse')
  rmSync(warehouse, { recursive: true, force: true })
  const config = join(dir, 'run-c.yaml')
  writeFileSync(
    config,
    `job: run-c
input: { path: ${JSON.stringify(input)} }
columns: { vin: { mode: deterministic } }
service: { url: "${url}/pseudonymization", api_key: { env: KEY } }
output: { table: bench.c, warehouse: ${JSON.stringify(warehouse)} }
`,
  )
  const before = cpuOf(service)
  const started = performance.now()
  const report = JSON.parse(cli(['batch', '--config', config, '--json'], { KEY: API_KEY }))
  return {
    wallSeconds: round((performance.now() - started) / 1000),
    cpuSeconds: round(report.cpu_seconds),
    serviceCpuSeconds: round(cpuOf(service) - before),
    peakRssMb: Math.round(report.peak_rss_bytes / 2 ** 20),
    requests: report.service.requests,
    outputBytes: report.bytes_out,
    location: report.location,
  }
}

async function check(table: string): Promise<string> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2', memory_limit: '4GB' })
  const connection = await instance.connect()
  try {
    const read = async (sql: string) => (await connection.runAndReadAll(sql)).getRows() as string[][]
    const pseudonyms = (await read(`select distinct s_vin from '${table}/data/*.parquet' where s_vin is not null`)).map(
      ([value]) => value as string,
    )
    const keys = openKeyring(await loadKeyring(keyring), nobleKernel, { randomBytes })
    const back = await reidentify(keys, { domain: 'default', values: pseudonyms })
    writeFileSync(mapping(), `s_vin,vin\n${pseudonyms.map((s, i) => `${s},${back.values[i]}`).join('\n')}\n`)
    const [expected] = await read(`select ${DIGEST} from '${input}'`)
    const [found] = await read(
      `select ${DIGEST} from '${table}/data/*.parquet' t left join read_csv('${mapping()}', all_varchar = true) m using (s_vin)`,
    )
    if (JSON.stringify(expected) !== JSON.stringify(found)) throw new Error('the table’s rows are not the input’s')
    return `${expected?.[0]} rows, ${pseudonyms.length} distinct pseudonyms, equal to the input once turned back`
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function mapping(): string {
  return join(dir, 'mapping.csv')
}

async function peer() {
  const out = join(dir, 'duckdb.parquet')
  rmSync(out, { force: true })
  const started = performance.now()
  const { stdout, status } = spawnSync(process.execPath, [DUCKDB_WORKER, input, mapping(), out], { encoding: 'utf8' })
  if (status !== 0) throw new Error('the DuckDB peer failed')
  return {
    wallSeconds: round((performance.now() - started) / 1000),
    ...(JSON.parse(stdout) as { cpuSeconds: number; peakRssMb: number }),
  }
}

function copy() {
  const started = performance.now()
  spawnSync('cp', [input, join(dir, 'copy.parquet')])
  return { wallSeconds: round((performance.now() - started) / 1000) }
}

function cli(args: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args, '--quiet'], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`pseudolake ${args[0]} ended with ${status}: ${stderr}`)
  return stdout
}

/** User and system time of a running process; Linux only, 0 elsewhere. */
function cpuOf(child: ChildProcess): number {
  try {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return 0
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    child.stdout?.once('data', (chunk: Buffer) => done(chunk.toString().split('\n')[0] ?? ''))
    child.once('exit', () => fail(new Error('the service did not start')))
  })
}

function round(n: number): number {
  return Math.round(n * 100) / 100
}
