import type { RunningService } from '../lib/service.ts'
import type { Job, Seen } from './load.ts'

export interface Soak {
  readonly service: RunningService
  readonly seconds: number
  readonly job: Job
  load(job: Job): Promise<Seen>
  say(line: string): void
}

/** Requests of each round, there and back. */
const REQUESTS = 400

/**
 * Both ways, with new identifiers all the time, as long as it takes: does memory grow, do the slowest answers get slower? Compares the
 * third sixth with the last, since the first minutes of a process are its compiler's and its heap's.
 */
export async function soak({ service, seconds, job, load, say }: Soak): Promise<void> {
  const rounds: { readonly at: number; readonly rssMb: number; readonly p99: number }[] = []
  const start = performance.now()
  let from = job.from
  for (let at = 0; at < seconds; at = (performance.now() - start) / 1000) {
    from += REQUESTS * job.size
    const there = await load({ ...job, requests: REQUESTS, from, keep: true })
    const back = await load({ ...job, requests: REQUESTS, path: '/reidentification', kept: true })
    const latencies = [...there.latencies, ...back.latencies].sort((a, b) => a - b)
    rounds.push({ at, rssMb: service.rssMb(), p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0 })
  }
  const part = (from: number, to: number) => {
    const its = rounds.filter(({ at }) => at >= seconds * from && at < seconds * to)
    const most = (of: 'rssMb' | 'p99') => Math.max(...its.map((round) => round[of]))
    return `${most('rssMb')} MB, p99 ${most('p99').toFixed(1)} ms`
  }
  const asked = rounds.length * 2 * REQUESTS * job.size
  say(`${asked} values in ${Math.round((performance.now() - start) / 1000)} s`)
  say(`third sixth: at most ${part(2 / 6, 3 / 6)}`)
  say(`last sixth:  at most ${part(5 / 6, 1)}`)
}
