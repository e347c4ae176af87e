/**
 * Processes measured from outside, all in the same way: wall time, user and system time of the process and of the children it waited for,
 * and its largest resident set, as wait4 tells them. Node can't ask for that of a child, Python can.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'

const WAIT4 = join(import.meta.dirname, 'wait4.py')

export interface Usage {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly peakRssMb: number
}

export interface Command {
  readonly words: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** @throws Error with the end of what it said, where the command does not end with 0 */
export function measured({ words, env }: Command): Usage & { readonly stdout: string } {
  const { stdout, stderr, error } = spawnSync('python3', [WAIT4, ...words], {
    encoding: 'utf8',
    env: environment(env),
    maxBuffer: 64 << 20,
  })
  if (error) throw new Error(`python3, which measures, can't be run: ${error.message}`)
  const lines = stderr.trimEnd().split('\n')
  const last = lines.pop() ?? ''
  if (!last.startsWith('{')) throw new Error(`python3, which measures, said: ${stderr.slice(-2000)}`)
  const { exit, ...usage } = JSON.parse(last) as Usage & { exit: number }
  if (exit !== 0) throw new Error(`${words[0]} ended with ${exit}: ${lines.join('\n').slice(-2000)}`)
  return { ...usage, stdout }
}

/** Certificates of a company's own are read at each start of a Node: a property of the machine, not of what is measured. */
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env
  return { ...env, ...more }
}

/** Seconds that a running process has had on a core, all its threads together; Linux only. */
export function cpuOf(pid: number): number {
  const tasks = `/proc/${pid}/task`
  const nanoseconds = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0])
  return nanoseconds.reduce((sum, each) => sum + Number(each), 0) / 1e9
}

export interface Spread {
  readonly least: number
  readonly median: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
  return { least: round(sorted[0] ?? Number.NaN), median: round(median ?? Number.NaN) }
}

export function round(n: number, digits = 3): number {
  return Math.round(n * 10 ** digits) / 10 ** digits
}

export function machine() {
  return {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GB`,
    node: process.version,
  }
}
