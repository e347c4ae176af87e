/** Brings the peers that are not of this package, once, below ~/.cache: nothing of them is part of the product. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const CACHE = process.env.PSEUDOLAKE_BENCH_CACHE ?? join(homedir(), '.cache')
const VENV = join(CACHE, 'pseudolake-bench-venv')
const JAVA = join(CACHE, 'pseudolake-bench-java')
const JAVA_SOURCE = join(import.meta.dirname, 'parquet-java')
const PYTHON_PACKAGES = ['pyarrow==26.0.1', 'polars==2.1.0']

/** @returns the Python that has them @throws Error with the reason why there is none */
export function python(): string {
  const found = join(VENV, 'bin', 'python')
  const stamp = join(VENV, PYTHON_PACKAGES.join('-'))
  if (!existsSync(stamp)) {
    must('python3', '-m', 'venv', VENV)
    must(found, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', ...PYTHON_PACKAGES)
    mkdirSync(stamp)
  }
  return found
}

/** @returns the words that start it @throws Error with the reason why it can't be had */
export function parquetJava(): readonly string[] {
  const jars = join(JAVA, 'jars')
  const classes = join(JAVA, 'classes')
  if (!existsSync(join(classes, 'Rewrite.class'))) {
    mkdirSync(jars, { recursive: true })
    const pom = join(JAVA_SOURCE, 'pom.xml')
    must('mvn', '-B', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`)
    must('javac', '-cp', `${jars}/*`, '-d', classes, join(JAVA_SOURCE, 'Rewrite.java'))
  }
  return ['java', '-cp', `${classes}:${jars}/*`, 'Rewrite']
}

function must(...[command = '', ...args]: readonly string[]): void {
  const { status, error, stderr, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) throw new Error(`${command} can’t be run here (${(error as NodeJS.ErrnoException).code})`)
  if (status === 0) return
  const last = `${stdout}\n${stderr}`.trim().split('\n').pop()
  throw new Error(`${command} ended with ${status}: ${last?.slice(0, 300)}`)
}
