/** What was set as goals for the product, as numbers of one result. Pure. */
import { round, type Spread } from '../lib/measure.ts'

export interface Row {
  readonly wall_seconds: Spread
  readonly cpu_seconds: Spread
  readonly peak_rss_mb: number
  readonly output_bytes: number
}

export interface ProductRow extends Row {
  readonly service_cpu_seconds: Spread
  readonly together_cpu_seconds: Spread
  readonly requests: number
}

export interface Measured {
  readonly shape: string
  readonly distinct: number
  /** Of the shape's full size; goals in seconds are for that one. */
  readonly scale: number
  readonly pseudolake: ProductRow
  /** A whole run over 1,000 rows: what is not the rewriting. */
  readonly start: ProductRow
  readonly peers: Readonly<Record<string, Row>>
}

export interface Goal {
  readonly what: string
  readonly least: number
  readonly median: number
  /** Missing where none was set. */
  readonly goal?: string
  readonly met?: boolean
}

/** They do the same work; the others less. */
const REPLACING = ['duckdb-1', 'duckdb-2', 'pyarrow', 'polars']
/** Of the reference's own job and service on two cores, measured before: run C's CPU. */
const REFERENCE_CPU_SECONDS = 395
/** Seconds of DuckDB on two threads for run C on the machine that the goals in seconds were set on: others are slower or faster, for everybody. */
const SET_WHERE_DUCKDB_TOOK = { cpu: 3.2, wall: 1.74 }

export function goalsOf({ shape, scale, distinct, pseudolake, start, peers }: Measured): Goal[] {
  const replacing = REPLACING.flatMap((name) => peers[name] ?? [])
  const duckdb = peers['duckdb-2']
  const { cp } = peers
  const bestPeer: Value = (which) => Math.min(...replacing.map(({ cpu_seconds }) => cpu_seconds[which]))
  const rewriting: Value = (which) => pseudolake.cpu_seconds[which] - start.cpu_seconds[which]
  const together: Value = (which) => pseudolake.together_cpu_seconds[which]
  const wall: Value = (which) => pseudolake.wall_seconds[which]
  const rewritingSeconds = { what: 'CPU seconds of the rewriting', value: rewriting, goals: [0.27] }
  const togetherSeconds = { what: 'CPU seconds of the whole job with its service', value: together, goals: [0.6, 0.4] }
  const wallSeconds = { what: 'wall seconds of the whole job', value: wall, goals: [0.7, 0.5] }
  const whole = scale === 1
  const runC = shape === 'run-c' || shape === 'run-c-datagen'

  const goals = [
    replacing.length > 0 && [
      goal(
        'CPU of the best peer to that of the whole process',
        (of) => bestPeer(of) / pseudolake.cpu_seconds[of],
        '≥',
        6,
      ),
      goal('CPU of the best peer to that of the rewriting', (of) => bestPeer(of) / rewriting(of), '≥', 10),
    ],
    duckdb && [goal('wall of DuckDB on two threads to ours', (of) => duckdb.wall_seconds[of] / wall(of), '≥', 3)],
    // In seconds, so for the full size only.
    whole &&
      runC && [
        ...inSeconds(rewritingSeconds, wallSeconds, togetherSeconds),
        goal('CPU of the reference to that of the whole job', (of) => REFERENCE_CPU_SECONDS / together(of)),
      ],
    whole &&
      runC &&
      duckdb && [
        ...atSpeedOf((of) => duckdb.cpu_seconds[of] / SET_WHERE_DUCKDB_TOOK.cpu, rewritingSeconds, togetherSeconds),
        ...atSpeedOf((of) => duckdb.wall_seconds[of] / SET_WHERE_DUCKDB_TOOK.wall, wallSeconds),
      ],
    shape === 'unique' && [
      goal('microseconds of pipeline CPU a value', (of) => (rewriting(of) / distinct) * 1e6, '≤', 1.5),
    ],
    whole &&
      shape === 'run-a' &&
      cp && [goal('wall seconds beyond those of cp', (of) => wall(of) - cp.wall_seconds[of], '≤', 40)],
    [goal('peak memory, MB', () => pseudolake.peak_rss_mb, '≤', 512)],
  ]
  return goals.flatMap((each) => each || [])
}

type Value = (which: keyof Spread) => number

interface Seconds {
  readonly what: string
  readonly value: Value
  /** The first, and what comes then. */
  readonly goals: readonly number[]
}

function inSeconds(...all: readonly Seconds[]): Goal[] {
  return all.flatMap(({ what, value, goals }) =>
    goals.map((bound, i) => goal(i === 0 ? what : `${what}, then`, value, '≤', bound)),
  )
}

/** @param slower times that everything takes here as long as where the goals were set */
function atSpeedOf(slower: Value, ...all: readonly Seconds[]): Goal[] {
  return inSeconds(
    ...all.map(({ what, value, goals }) => ({
      what: `${what}, at the speed of where the goal was set`,
      value: (of: keyof Spread) => value(of) / slower(of),
      goals,
    })),
  )
}

/** A goal is met by the least of the runs: what others do on the machine only adds. */
function goal(what: string, value: Value, sign?: '≤' | '≥', bound = 0): Goal {
  const [least, median] = [round(value('least')), round(value('median'))]
  if (sign === undefined) return { what, least, median }
  return { what, least, median, goal: `${sign} ${bound}`, met: sign === '≤' ? least <= bound : least >= bound }
}
