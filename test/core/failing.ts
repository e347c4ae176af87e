/** A lake full of planted values, and the command line over it: where each failure is provoked. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCli } from '../../cli/run.ts'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import { serve } from '../client/transports/server.ts'
import { type JobOverrides, type Lake, type LakeOutside, lake } from '../helpers/lake.ts'
import { waitlessClock } from '../iceberg/clock.ts'

/** Stands in data, keys, answers and settings wherever a code can be provoked around it; no output may show it. */
export const PLANTED = 'PLANTED-7f3a'
export const API_KEY = `${PLANTED}-api-key`

export interface Failed {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

export interface Place extends Lake {
  /** Runs the command line in this process, in the lake's folder, with `--json`. */
  cli(...words: string[]): Promise<Failed>
  /** The lake's job with more `--set`s, on the command line. */
  batch(...set: string[]): Promise<Failed>
  /** Runs the lake's job in this process. */
  job(more?: Partial<JobOverrides>, outside?: LakeOutside): Promise<unknown>
}

const COLUMNS = { vin: { mode: 'deterministic' } }

/** A folder with one input `in/a.parquet`, a keyring and a job. */
export async function place(env: Record<string, string> = {}): Promise<Place> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  await input(home)
  writeFileSync(
    join(home.dir, 'job.yaml'),
    `job: test
input: { path: in }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output: { table: db.t, warehouse: warehouse }
`,
  )
  const cli = (...words: string[]) => command([...words, '--json'], home.dir, env)
  return {
    ...home,
    cli,
    batch: (...set) => cli('batch', '--config', 'job.yaml', ...set.flatMap((one) => ['--set', one])),
    job: (more = {}, outside = {}) => home.run({ columns: COLUMNS, ...more }, {}, outside),
  }
}

/** Writes an input of 50 rows whose `vin` and `note` hold planted values. */
export function input({ sql }: Pick<Lake, 'sql'>, name = 'a', rows = 50): Promise<void> {
  return sql(
    `copy (select '${PLANTED}-' || i as vin, '${PLANTED}' as note, i as n from range(${rows}) r(i)) to '{dir}/in/${name}.parquet'`,
  )
}

export async function command(
  words: readonly string[],
  cwd: string,
  env: Record<string, string>,
  { clock = systemClock(), signal = new AbortController().signal }: { clock?: Clock; signal?: AbortSignal } = {},
): Promise<Failed> {
  let [stdout, stderr] = ['', '']
  const exit = await runCli(words, {
    env,
    cwd,
    clock,
    random: Math.random,
    signal,
    tty: false,
    out: (text) => {
      stdout += text
    },
    err: (text) => {
      stderr += text
    },
    lines: async function* () {},
  })
  return { exit, stdout, stderr }
}

/**
 * The lake's job by the command line, with a service over HTTP that answers rightly unless `behave` does first.
 */
export async function served(home: Place, behave: Parameters<typeof serve>[0], ...set: string[]): Promise<Failed> {
  const { url } = await serve(behave)
  const over = [`service.url=${url}`, 'service.api_key.env=KEY', ...set].flatMap((one) => ['--set', one])
  const words = ['batch', '--config', 'job.yaml', '--json', '--quiet', ...over]
  return command(words, home.dir, { KEY: API_KEY }, { clock: hurried() })
}

/** Waits between attempts pass at once; the half minute in which a request must be answered does not. */
function hurried(): Clock {
  const [clock, { sleep }] = [waitlessClock(), systemClock()]
  return { ...clock, sleep: (ms, signal) => (ms < 30_000 ? clock : { sleep }).sleep(ms, signal) }
}

/** A service that answers so, and repeats what it was sent. */
export async function answering(status: number, headers: Record<string, string> = {}): Promise<Failed> {
  return served(await place(), (received, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ message: received.body, title: PLANTED, pseudonyms: [PLANTED] }))
  })
}

/** A run into the middle of which, when it asks for the first time, something comes. */
export async function interrupted(home: Place, meanwhile: () => Promise<unknown>): Promise<Failed> {
  return served(home, async (_, __, nth) => {
    if (nth === 1) await meanwhile()
  })
}

/** A run with the service of `served`, as the one before an interrupted one: the key is the same. */
export const undisturbed = (home: Place) => served(home, () => undefined)
