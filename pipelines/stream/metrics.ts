/** What a run shows to those who watch it: metrics in Prometheus' text format, and whether it is well. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { StreamGauges } from './report.ts'

/** @param labels of every value: the job and the stream */
export function metricsText(gauges: StreamGauges, labels: Readonly<Record<string, string>>): string {
  const own = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  const labelled = (...more: string[]) => `{${[...own, ...more].join(',')}}`
  const lines: string[] = []
  const metric = (name: string, type: 'counter' | 'gauge', help: string, value: number | undefined) => {
    if (value === undefined) return
    lines.push(...head(name, type, help), `pseudolake_stream_${name}${labelled()} ${value}`)
  }
  metric('records_total', 'counter', 'Records that were read.', gauges.records)
  metric('rows_total', 'counter', 'Rows that were published.', gauges.rows)
  metric('quarantined_total', 'counter', 'Records that were sealed into the quarantine.', gauges.quarantined)
  metric('duplicates_total', 'counter', 'Records that were dropped, as their keys were seen before.', gauges.duplicates)
  metric('commits_total', 'counter', 'Commits to the table.', gauges.commits)
  metric('throttled_total', 'counter', 'Requests that Kinesis refused as too many.', gauges.throttled)
  metric('kinesis_failures_total', 'counter', 'Requests to Kinesis that failed otherwise.', gauges.failed)
  metric('service_requests_total', 'counter', 'Requests to the pseudonymization service.', gauges.requests)
  metric('service_retries_total', 'counter', 'Requests to the service that were sent again.', gauges.retries)
  metric('pending_records', 'gauge', 'Records that were read and are not committed.', gauges.pendingRecords)
  metric('epoch', 'gauge', 'Epoch of the last commit of this consumer.', gauges.epoch)
  const since = gauges.sinceCommitMs
  metric('since_commit_seconds', 'gauge', 'Seconds since the last commit.', since && since / 1000)
  metric('owner', 'gauge', '1 where this consumer may commit.', Number(gauges.state === 'owner'))
  metric('iterator_age_seconds', 'gauge', 'Of the shard that is furthest behind.', most(gauges.lag) / 1000)
  lines.push(...head('shard_iterator_age_seconds', 'gauge', 'How far a shard is behind its tip.'))
  for (const [shard, ms] of gauges.lag)
    lines.push(`pseudolake_stream_shard_iterator_age_seconds${labelled(`shard="${escaped(shard)}"`)} ${ms / 1000}`)
  lines.push(...head('shards', 'gauge', 'Shards by what is done with them.'))
  for (const [state, count] of Object.entries(gauges.shards))
    lines.push(`pseudolake_stream_shards${labelled(`state="${state}"`)} ${count}`)
  return `${lines.join('\n')}\n`
}

function head(name: string, type: string, help: string): string[] {
  return [`# HELP pseudolake_stream_${name} ${help}`, `# TYPE pseudolake_stream_${name} ${type}`]
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function most(lag: ReadonlyMap<string, number>): number {
  return Math.max(0, ...lag.values())
}

/** Standby is well; a run that waits for what is away is not. */
export function healthOf(gauges: StreamGauges, alarmMs: number): { readonly healthy: boolean; readonly body: object } {
  const lagMs = most(gauges.lag)
  const healthy = !gauges.waits && gauges.state !== 'ended'
  const status = !healthy ? 'failing' : lagMs >= alarmMs ? 'behind' : 'ok'
  return { healthy, body: { status, state: gauges.state, epoch: gauges.epoch, lag_ms: lagMs } }
}

export interface MetricsServer {
  readonly url: string
  close(): Promise<void>
}

/**
 * Serves `GET /metrics` and `GET /health` (200 while the run is well, else 503).
 * @throws PseudolakeError `service/port-in-use`
 */
export async function serveMetrics(options: {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly gauges: () => StreamGauges
  readonly labels: Readonly<Record<string, string>>
  readonly alarmMs: number
}): Promise<MetricsServer> {
  const { host, port, gauges, labels, alarmMs } = options
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    if (request.method !== 'GET' || (path !== '/metrics' && path !== '/health'))
      return void response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
    if (path === '/metrics')
      return void response
        .writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
        .end(metricsText(gauges(), labels))
    const { healthy, body } = healthOf(gauges(), alarmMs)
    response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new PseudolakeError('service/port-in-use', `metrics: cannot listen on ${host}:${port} (${error.code})`, {
          host,
          port,
        }),
      ),
    )
    server.listen(port, host, resolve)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
