/**
 * The engines that judge our output, PyIceberg, Spark, Trino and DuckDB's iceberg extension, and the servers it is judged through, versitygw (S3),
 * moto (Glue), Iceberg's REST catalog, kinesis-local and kinesalite, and the runtime that Lambda runs functions in, as scripts/interop/install.sh puts them below one folder. A test that needs one is skipped with the
 * reason where it is missing, and fails instead where PSEUDOLAKE_REQUIRE_INTEROP=1 says that it must be there.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, type TestContext, test } from 'vitest'
import { HOME, VERSITYGW } from './interop-home.ts'

export type Counterpart =
  | 'pyiceberg'
  | 'spark'
  | 'trino'
  | 'duckdb'
  | 'versitygw'
  | 'moto'
  | 'rest-catalog'
  | 'kinesis-local'
  | 'kinesalite'
  | 'schemathesis'
  | 'lambda-ric'
export type Presence = { readonly there: true } | { readonly there: false; readonly reason: string }

/** Python of the installation; where there is none, a test may try another. */
export const PYTHON = join(HOME, 'venv', 'bin', 'python')
/** Java new enough for Trino, in its folder; its server; and the jars of Iceberg's REST catalog. */
export const JDK = join(HOME, 'jdk')
export const TRINO = join(HOME, 'trino', 'server')
export const REST_CATALOG = join(HOME, 'rest', 'lib')
/** The folder in which the Kinesis servers are packages. */
export const KINESIS = join(HOME, 'kinesis', 'node_modules')
/** Holds an HTTP service to its OpenAPI file. */
export const SCHEMATHESIS = join(HOME, 'schemathesis', 'bin', 'schemathesis')
/** What Lambda runs a Node function's handler in, a program for Node. */
export const LAMBDA_RIC = join(HOME, 'lambda', 'node_modules', 'aws-lambda-ric', 'index.mjs')
const AWS_JAR = join(HOME, 'jars', 'iceberg-aws-bundle.jar')
const ICEBERG_JAR = join(HOME, 'jars', 'iceberg-spark-runtime.jar')
/** Load order: iceberg needs the two others. */
const EXTENSIONS = ['avro', 'httpfs', 'iceberg'].map((name) => join(HOME, 'duckdb', `${name}.duckdb_extension`))

/** Whether a counterpart can be used here, and why not. */
export function interop(name: Counterpart): Presence {
  const install = `run scripts/interop/install.sh`
  // Written last: without it, an installation is under way or has failed.
  if (!existsSync(join(HOME, 'stamp')))
    return { there: false, reason: `${name}: nothing complete in ${HOME}; ${install}` }
  const files = {
    pyiceberg: [PYTHON],
    spark: [PYTHON, ICEBERG_JAR, AWS_JAR],
    trino: [join(TRINO, 'lib'), join(TRINO, 'plugin'), join(JDK, 'bin', 'java')],
    duckdb: EXTENSIONS,
    versitygw: [VERSITYGW],
    moto: [PYTHON, join(HOME, 'venv', 'bin', 'moto_server')],
    'rest-catalog': [REST_CATALOG],
    'kinesis-local': [join(KINESIS, 'kinesis-local', 'main.js')],
    kinesalite: [join(KINESIS, 'kinesalite', 'cli.js')],
    schemathesis: [SCHEMATHESIS],
    'lambda-ric': [LAMBDA_RIC, join(LAMBDA_RIC, '..', 'rapid-client.node')],
  }[name]
  const lost = files.find((file) => !existsSync(file))
  if (lost !== undefined) return { there: false, reason: `${name}: ${lost} is missing; ${install}` }
  if ((name === 'spark' || name === 'rest-catalog') && !hasJava())
    return { there: false, reason: `${name}: no java on the PATH and no JAVA_HOME` }
  return { there: true }
}

/**
 * A test that needs counterparts.
 * @param timeoutMs @default 120_000: the start of Spark alone takes 5 to 30 seconds
 */
export function testWith(
  names: Counterpart | readonly Counterpart[],
  title: string,
  run: (context: TestContext) => Promise<void>,
  timeoutMs = 120_000,
): void {
  test(title, { timeout: timeoutMs }, async (context) => {
    for (const name of [names].flat()) {
      const presence = interop(name)
      if (presence.there) continue
      if (process.env.PSEUDOLAKE_REQUIRE_INTEROP === '1') throw new Error(presence.reason)
      context.skip(presence.reason)
    }
    await run(context)
  })
}

/**
 * Runs Python source with PyIceberg and PyArrow installed.
 * @param script finds `args`, and leaves what it found in `result`: anything of JSON, and besides decimals, dates and UUIDs
 *   (which come back as their text), bytes (hex) and tuples
 * @throws with the end of its stderr when it fails or takes longer than `timeoutMs` (@default 60_000)
 */
export function pyiceberg<T>(script: string, args: unknown, options: { timeoutMs?: number } = {}): Promise<T> {
  return python(script, { args }, options.timeoutMs ?? 60_000)
}

export interface SparkOptions {
  /** Iceberg catalogs of type hadoop: name → warehouse folder (a table is `name.db.table`). */
  readonly catalogs?: Readonly<Record<string, string>>
  /** Further settings, as for catalogs of other types. */
  readonly settings?: Readonly<Record<string, string>>
  /** Further environment. */
  readonly env?: Readonly<Record<string, string>>
  /** @default 110_000 */
  readonly timeoutMs?: number
}

/**
 * As `pyiceberg`, with a Spark session `spark` (2 cores, 1 GB, UTC, Iceberg's SQL extensions) and `rows(sql)` for its answer as
 * a list of lists. Starting it is the dear part, and so is the first of everything in it: the scripts of a test file share one engine, each with
 * a session and catalogs of its own, one after the other. It ends with the file, or with a script that takes too long.
 */
export function spark<T>(script: string, args: unknown, options: SparkOptions = {}): Promise<T> {
  const engine: Record<string, string> = {
    'spark.jars': options.settings ? `${ICEBERG_JAR},${AWS_JAR}` : ICEBERG_JAR,
    'spark.ui.enabled': 'false',
    'spark.driver.memory': '1g',
    'spark.driver.bindAddress': '127.0.0.1',
    'spark.driver.host': '127.0.0.1',
    'spark.sql.shuffle.partitions': '2',
    'spark.sql.session.timeZone': 'UTC',
    'spark.driver.extraJavaOptions': '-Duser.timezone=UTC',
    'spark.sql.extensions': 'org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions',
  }
  const settings: Record<string, string> = {}
  for (const [name, warehouse] of Object.entries(options.catalogs ?? {})) {
    settings[`spark.sql.catalog.${name}`] = 'org.apache.iceberg.spark.SparkCatalog'
    settings[`spark.sql.catalog.${name}.type`] = 'hadoop'
    settings[`spark.sql.catalog.${name}.warehouse`] = warehouse
    // Else a table that another engine changed is answered from memory for 30 seconds.
    settings[`spark.sql.catalog.${name}.cache-enabled`] = 'false'
  }
  // What is not of SQL an engine takes at its start only.
  for (const [name, value] of Object.entries(options.settings ?? {}))
    (name.startsWith('spark.sql.') ? settings : engine)[name] = value
  const key = JSON.stringify([engine, options.env])
  const shared = engines.get(key) ?? new SparkEngine(engine, options.env ?? {}, () => engines.delete(key))
  engines.set(key, shared)
  return shared.run(script, { args, settings }, options.timeoutMs ?? 110_000)
}

const engines = new Map<string, SparkEngine>()

/**
 * Runs SQL in an in-memory DuckDB of this process that has the iceberg extension; nothing is fetched.
 * @param before statements that go before it
 * @returns its rows, as JSON values (integers of 64 bits as text)
 */
export async function duckdbIceberg(sql: string, before: readonly string[] = []): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    threads: '2',
  })
  const connection = await instance.connect()
  try {
    for (const file of EXTENSIONS) await connection.run(`load '${file.replaceAll("'", "''")}'`)
    await connection.run("set timezone = 'UTC'")
    for (const statement of before) await connection.run(statement)
    return (await connection.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[]
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

/** The answer goes over a descriptor of its own, because Spark and its JVM write to stdout what they like. */
const ANSWER = `
import atexit, datetime, decimal, json, linecache, os, sys, traceback, uuid
def _plain(value):
    if isinstance(value, (decimal.Decimal, uuid.UUID)): return str(value)
    if isinstance(value, (datetime.date, datetime.time)): return value.isoformat()
    if isinstance(value, (bytes, bytearray)): return value.hex()
    raise TypeError('no JSON for ' + type(value).__name__)
def _known(job): linecache.cache['<script>'] = (len(job['script']), None, job['script'].splitlines(True), '<script>')
`

/** A line of JSON for each script and for each answer. */
const SPARK_RUNNER = `${ANSWER}
from pyspark.sql import SparkSession
_builder = SparkSession.builder.master('local[2]').appName('pseudolake-test')
for _key, _value in json.loads(sys.stdin.readline()).items(): _builder = _builder.config(_key, _value)
_first = _builder.config('spark.sql.warehouse.dir', os.path.join(os.getcwd(), 'spark-warehouse')).getOrCreate()
_first.sparkContext.setLogLevel('ERROR')
_out = os.fdopen(3, 'w')
for _line in sys.stdin:
    job = json.loads(_line)
    _known(job)
    try:
        spark = _first.newSession()
        for _key, _value in job['settings'].items(): spark.conf.set(_key, _value)
        spark._jvm.org.apache.spark.sql.SparkSession.setActiveSession(spark._jsparkSession)
        _scope = {'__name__': '__main__', 'args': job['args'], 'os': os, 'spark': spark}
        exec('def rows(sql): return [list(row) for row in spark.sql(sql).collect()]', _scope)
        exec(compile(job['script'], '<script>', 'exec'), _scope)
        _answer = json.dumps({'result': _scope.get('result')}, default=_plain)
    except BaseException:
        _answer = json.dumps({'error': traceback.format_exc()[-6000:]})
    _out.write(_answer + chr(10))
    _out.flush()
`

const RUNNER = `${ANSWER}
job = json.load(sys.stdin)
_known(job)
_scope = {'__name__': '__main__', 'args': job['args'], 'job': job, 'os': os, 'atexit': atexit}
exec(compile(job['script'], '<script>', 'exec'), _scope)
with os.fdopen(3, 'w') as out: json.dump(_scope.get('result'), out, default=_plain)
`

const running = new Set<ChildProcess>()
const killAll = () => {
  for (const child of running) kill(child)
}
afterAll(killAll)
process.once('exit', killAll)

/** Spark in a process of its own, for one script after the other. */
class SparkEngine {
  readonly #child: ChildProcess
  readonly #folder = mkdtempSync(join(tmpdir(), 'pseudolake-interop-'))
  readonly #answers: AsyncIterator<string>
  #errors = ''
  #turn: Promise<unknown> = Promise.resolve()

  /** @param onEnd it takes no more scripts */
  constructor(settings: object, env: Readonly<Record<string, string>>, onEnd: () => void) {
    this.#child = startPython(SPARK_RUNNER, this.#folder, env)
    this.#child.once('close', () => {
      onEnd()
      running.delete(this.#child)
      rmSync(this.#folder, { recursive: true, force: true })
    })
    this.#child.on('error', (error) => (this.#errors += error.message))
    this.#child.stdout?.resume()
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#errors = `${this.#errors}${chunk}`.slice(-6000)))
    this.#child.stdin?.on('error', () => undefined)
    this.#child.stdin?.write(`${JSON.stringify(settings)}\n`)
    this.#answers = createInterface({ input: this.#child.stdio[3] as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  }

  run<T>(script: string, job: object, timeoutMs: number): Promise<T> {
    const done = this.#turn.then(() => this.#next<T>(script, job, timeoutMs))
    this.#turn = done.catch(() => undefined)
    return done
  }

  async #next<T>(script: string, job: object, timeoutMs: number): Promise<T> {
    const late = setTimeout(() => kill(this.#child), timeoutMs)
    try {
      this.#child.stdin?.write(`${JSON.stringify({ script, ...job })}\n`)
      const { value, done } = await this.#answers.next()
      if (done) throw new Error(`Spark ended (limit ${timeoutMs} ms):\n${this.#errors}`)
      const answer = JSON.parse(value) as { result: T; error?: string }
      if (answer.error !== undefined) throw new Error(`the script failed:\n${answer.error}`)
      return answer.result
    } finally {
      clearTimeout(late)
    }
  }
}

async function python<T>(script: string, job: object, timeoutMs: number): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'pseudolake-interop-'))
  const child = startPython(RUNNER, folder)
  const late = setTimeout(() => kill(child), timeoutMs)
  try {
    child.stdin?.on('error', () => undefined).end(JSON.stringify({ script, ...job }))
    const [answer, errors, status] = await Promise.all([
      text(child.stdio[3] as NodeJS.ReadableStream),
      text(child.stderr as NodeJS.ReadableStream),
      new Promise<string>((resolve, reject) => {
        child.once('error', reject)
        child.once('close', (code, signal) => resolve(String(signal ?? code)))
      }),
      text(child.stdout as NodeJS.ReadableStream),
    ])
    if (status !== '0')
      throw new Error(`the script ended with ${status} (limit ${timeoutMs} ms):\n${errors.slice(-6000)}`)
    return JSON.parse(answer) as T
  } finally {
    clearTimeout(late)
    kill(child)
    running.delete(child)
    rmSync(folder, { recursive: true, force: true })
  }
}

function startPython(runner: string, folder: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const environment = {
    ...process.env,
    ...env,
    TZ: 'UTC',
    SPARK_LOCAL_IP: '127.0.0.1',
    PYSPARK_PYTHON: PYTHON,
    PYTHONUTF8: '1',
  }
  // A group of its own: Spark's JVM is a child of the child.
  const child = spawn(PYTHON, ['-c', runner], {
    cwd: folder,
    detached: true,
    env: environment,
    stdio: Array(4).fill('pipe'),
  })
  running.add(child)
  return child
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group has ended.
  }
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

function hasJava(): boolean {
  const folders = [
    ...(process.env.JAVA_HOME ? [join(process.env.JAVA_HOME, 'bin')] : []),
    ...(process.env.PATH ?? '').split(delimiter),
  ]
  return folders.some((folder) => {
    try {
      accessSync(join(folder, 'java'), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
