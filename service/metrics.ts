import type { Direction } from '../lib/wire/contract.ts'

/** Counts for Prometheus. They reach anybody on the network, so they name neither callers nor domains nor keys. */
export interface Metrics {
  answered(call: { route: string; status: number; seconds: number }): void
  values(direction: Direction, count: number): void
  auditFailed(): void
  started(): void
  ended(): void
  /** Calls under way. */
  readonly inFlight: number
  /** Prometheus text format, version 0.0.4. */
  text(): string
}

const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export function metrics(): Metrics {
  const requests = new Map<string, number>()
  const durations = new Map<string, { readonly counts: number[]; sum: number; count: number }>()
  const values: Record<Direction, number> = { pseudonymize: 0, reidentify: 0 }
  let auditFailures = 0
  let inFlight = 0

  return {
    answered({ route, status, seconds }) {
      const labels = `route="${route}",status="${status}"`
      requests.set(labels, (requests.get(labels) ?? 0) + 1)
      const duration = durations.get(route) ?? { counts: BUCKETS_SECONDS.map(() => 0), sum: 0, count: 0 }
      durations.set(route, duration)
      BUCKETS_SECONDS.forEach((bound, i) => {
        if (seconds <= bound) duration.counts[i] = (duration.counts[i] ?? 0) + 1
      })
      duration.sum += seconds
      duration.count++
    },
    values(direction, count) {
      values[direction] += count
    },
    auditFailed() {
      auditFailures++
    },
    started() {
      inFlight++
    },
    ended() {
      inFlight--
    },
    get inFlight() {
      return inFlight
    },

    text() {
      const lines = [
        '# HELP pseudolake_requests_total Requests answered.',
        '# TYPE pseudolake_requests_total counter',
        ...[...requests].map(([labels, count]) => `pseudolake_requests_total{${labels}} ${count}`),
        '# HELP pseudolake_values_total Values pseudonymized and reidentified.',
        '# TYPE pseudolake_values_total counter',
        ...Object.entries(values).map(([direction, n]) => `pseudolake_values_total{direction="${direction}"} ${n}`),
        '# HELP pseudolake_requests_in_flight Calls under way.',
        '# TYPE pseudolake_requests_in_flight gauge',
        `pseudolake_requests_in_flight ${inFlight}`,
        '# HELP pseudolake_audit_failures_total Calls that could not be put on record.',
        '# TYPE pseudolake_audit_failures_total counter',
        `pseudolake_audit_failures_total ${auditFailures}`,
        '# HELP pseudolake_request_seconds Time from the request to its answer.',
        '# TYPE pseudolake_request_seconds histogram',
      ]
      for (const [route, { counts, sum, count }] of durations) {
        const name = `pseudolake_request_seconds_bucket{route="${route}",le=`
        for (const [i, bound] of BUCKETS_SECONDS.entries()) lines.push(`${name}"${bound}"} ${counts[i]}`)
        lines.push(`${name}"+Inf"} ${count}`)
        lines.push(`pseudolake_request_seconds_sum{route="${route}"} ${sum}`)
        lines.push(`pseudolake_request_seconds_count{route="${route}"} ${count}`)
      }
      return `${lines.join('\n')}\n`
    },
  }
}
