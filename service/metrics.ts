import type { Direction } from '../lib/wire/contract.ts'

/** Counts for Prometheus. They reach anybody on the network, so they name neither callers nor domains nor keys. */
export interface Metrics {
  /** @param call `code` where it was refused */
  answered(call: { route: string; status: number; code?: string; seconds: number }): void
  values(direction: Direction, count: number): void
  recorded(): void
  auditFailed(): void
  /** @param n entries of the record that the anchor covers */
  anchored(n: number, wallMs: number): void
  anchorFailed(): void
  /** What an emulated gateway or function did to a request. */
  emulated(what: string): void
  started(): void
  ended(): void
  /** Calls under way. */
  readonly inFlight: number
  /** Prometheus text format, version 0.0.4. */
  text(): string
}

/** What the process uses, as Prometheus' clients name it. */
export interface Runtime {
  readonly residentBytes: number
  readonly cpuSeconds: number
  /** Since 1970. */
  readonly startedSeconds: number
}

const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** @param runtime asked with each `text`; missing: nothing of the process is told */
export function metrics(runtime?: () => Runtime): Metrics {
  const requests = new Map<string, number>()
  const emulated = new Map<string, number>()
  const refusals = new Map<string, number>()
  const durations = new Map<string, { readonly counts: number[]; sum: number; count: number }>()
  const values: Record<Direction, number> = { pseudonymize: 0, reidentify: 0 }
  let recorded = 0
  let auditFailures = 0
  let anchored: { readonly n: number; readonly seconds: number } | undefined
  let anchorFailures = 0
  let inFlight = 0

  return {
    answered({ route, status, code, seconds }) {
      increase(requests, `route="${route}",status="${status}"`)
      if (code !== undefined) increase(refusals, `code="${code}"`)
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
    recorded() {
      recorded++
    },
    auditFailed() {
      auditFailures++
    },
    anchored(n, wallMs) {
      anchored = { n, seconds: wallMs / 1000 }
    },
    anchorFailed() {
      anchorFailures++
    },
    emulated(what) {
      increase(emulated, `what="${what}"`)
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
        ...family('pseudolake_requests_total', 'counter', 'Requests answered.', [...requests]),
        ...family('pseudolake_refusals_total', 'counter', 'Requests refused, by the code of the problem.', [
          ...refusals,
        ]),
        ...family(
          'pseudolake_values_total',
          'counter',
          'Values pseudonymized and reidentified.',
          Object.entries(values).map(([direction, n]) => [`direction="${direction}"`, n]),
        ),
        ...single('pseudolake_requests_in_flight', 'gauge', 'Calls under way.', inFlight),
        ...single('pseudolake_audit_entries_total', 'counter', 'Calls put on record.', recorded),
        ...single(
          'pseudolake_audit_failures_total',
          'counter',
          'Calls that could not be put on record.',
          auditFailures,
        ),
        ...single(
          'pseudolake_audit_unanchored_entries',
          'gauge',
          'Entries of the record after its last anchor.',
          Math.max(0, recorded - (anchored?.n ?? 0)),
        ),
        ...single('pseudolake_anchor_failures_total', 'counter', 'Anchors that could not be put down.', anchorFailures),
        ...(anchored
          ? single('pseudolake_anchor_time_seconds', 'gauge', 'When the last anchor was put down.', anchored.seconds)
          : []),
        ...(emulated.size > 0
          ? family('pseudolake_emulated_total', 'counter', 'What an emulated gateway did to requests.', [...emulated])
          : []),
        ...(runtime ? processLines(runtime()) : []),
        ...header('pseudolake_request_seconds', 'histogram', 'Time from the request to its answer.'),
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

function increase(counts: Map<string, number>, labels: string): void {
  counts.set(labels, (counts.get(labels) ?? 0) + 1)
}

function header(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}

function family(name: string, type: string, help: string, values: readonly (readonly [string, number])[]): string[] {
  return [...header(name, type, help), ...values.map(([labels, value]) => `${name}{${labels}} ${value}`)]
}

function single(name: string, type: string, help: string, value: number): string[] {
  return [...header(name, type, help), `${name} ${value}`]
}

function processLines({ residentBytes, cpuSeconds, startedSeconds }: Runtime): string[] {
  return [
    ...single('process_resident_memory_bytes', 'gauge', 'Memory of the process.', residentBytes),
    ...single('process_cpu_seconds_total', 'counter', 'CPU time of the process, its threads included.', cpuSeconds),
    ...single('process_start_time_seconds', 'gauge', 'When the process began.', startedSeconds),
  ]
}
