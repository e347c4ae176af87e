import type { RunningService } from '../lib/service.ts'
import type { Job, Seen } from './load.ts'

export interface Soak {
  readonly service: RunningService
  /** Of each round, there and back. */
  readonly requests: number
  readonly job: Job
  /** Whether there is to be one more round. */
  goesOn(rounds: number, seconds: number): boolean
  load(job: Job): Promise<Seen>
}

export interface Soaked {
  readonly values: number
  readonly seconds: number
  /** The largest of the third sixth of its rounds, since the first ones are the compiler's and the heap's, and of the last sixth. */
  readonly early: Round
  readonly late: Round
}

export interface Round {
  readonly rssMb: number
  /** Milliseconds. */
  readonly p99: number
}

/** Both ways, with new identifiers all the time, as long as it takes: does memory grow, do the slowest answers get slower? */
export async function soak({ service, requests, job, goesOn, load }: Soak): Promise<Soaked> {
  const rounds: Round[] = []
  const start = performance.now()
  const seconds = () => (performance.now() - start) / 1000
  let from = job.from
  while (goesOn(rounds.length, seconds())) {
    from += requests * job.size
    const there = await load({ ...job, requests, from, keep: true })
    const back = await load({ ...job, requests, path: '/reidentification', kept: true })
    const latencies = [...there.latencies, ...back.latencies].sort((a, b) => a - b)
    rounds.push({ rssMb: service.rssMb(), p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0 })
  }
  const most = (from: number, to: number): Round => {
    const its = rounds.slice(Math.floor(rounds.length * from), Math.ceil(rounds.length * to))
    return { rssMb: Math.max(...its.map(({ rssMb }) => rssMb)), p99: Math.max(...its.map(({ p99 }) => p99)) }
  }
  const values = rounds.length * 2 * requests * job.size
  return { values, seconds: seconds(), early: most(2 / 6, 3 / 6), late: most(5 / 6, 1) }
}
