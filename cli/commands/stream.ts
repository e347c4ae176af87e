import { randomBytes, randomUUID } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { growHeapBy } from '../../lib/core/heap.ts'
import { requireApart } from '../../pipelines/batch/overlap.ts'
import type { StreamSettings } from '../../pipelines/config/native.ts'
import { requireService } from '../../pipelines/service.ts'
import { asBatch, type StreamJob, streamJob } from '../../pipelines/stream/job.ts'
import { heapGrowthPercent } from '../../pipelines/stream/memory.ts'
import { serveMetrics } from '../../pipelines/stream/metrics.ts'
import { type StreamPlaces, sealerOf, streamNameOf, withPlaces } from '../../pipelines/stream/open.ts'
import type { StreamOptions } from '../../pipelines/stream/outside.ts'
import type { StreamEvent, StreamReport } from '../../pipelines/stream/report.ts'
import { StreamRun } from '../../pipelines/stream/run.ts'
import type { Command, Io, Option } from '../command.ts'
import { readStream } from '../config-file.ts'
import { progress } from '../output/progress.ts'
import { statusLine } from '../output/stream-status.ts'
import { bytes, count } from '../output/text.ts'
import { realPath } from '../paths.ts'
import { runId } from '../run-id.ts'
import { typed } from '../typed.ts'
import { usage } from '../usage.ts'
import { version } from '../version.ts'

/** Of the commands beside a stream, which take the configuration of its run. */
export const STREAM_CONFIG: Readonly<Record<string, Option>> = {
  config: { type: 'string', value: 'F', required: true, summary: 'The configuration of the stream' },
  set: { type: 'string', value: 'KEY=VALUE', multiple: true, summary: 'Override a key of it, as for the run' },
}

export const stream: Command = {
  name: 'stream',
  summary: 'Pseudonymize a Kinesis stream into an Iceberg table, each record exactly once',
  options: {
    config: {
      type: 'string',
      value: 'F',
      required: true,
      summary: 'The configuration, native or original, YAML or JSON',
    },
    set: {
      type: 'string',
      value: 'KEY=VALUE',
      multiple: true,
      summary: 'Override a key of it: --set commit.every=5s',
    },
    'until-caught-up': { type: 'boolean', summary: 'End when every shard has nothing more' },
    'max-records': { type: 'integer', value: 'N', summary: 'End after so many records' },
    'allow-key-change': { type: 'boolean', summary: 'Go on although the service has another key than the table' },
  },
  examples: [
    ['pseudolake stream --config stream.yaml', 'run until it is told to stop (SIGTERM commits what was read)'],
    ['pseudolake stream --config stream.yaml --until-caught-up', 'take what there is now, as a scheduled job'],
    ['pseudolake stream --config stream.yaml --json', 'a line of JSON for each commit; the last one is the summary'],
  ],
  async run(args, io) {
    const config = args.string('config') ?? ''
    const set = args.strings('set')
    const settings = await readStream(config, set, io)
    const maxRecords = args.number('max-records')
    if (maxRecords !== undefined && maxRecords < 1)
      throw new PseudolakeError('options/invalid', '--max-records: expected 1 or more', { option: 'max-records' })
    const options = {
      untilCaughtUp: args.flag('until-caught-up'),
      allowKeyChange: args.flag('allow-key-change'),
      ...(maxRecords !== undefined && { maxRecords }),
    }
    const job = streamJob(settings, io.cwd)
    requireService(asBatch(settings), io.env)
    requireApart({ ...(await realPlaces(job)), input: job.table.input })
    const growth = heapGrowthPercent(settings.limits.memory_mb)
    if (growth !== undefined) growHeapBy(growth)
    const commands = { command: typed('stream', config, set), resetCommand: resetCommand(config, set) }
    const report = await withPlaces(settings, job, openOutside(io), (places) =>
      runWith(places, settings, job, io, commands, options),
    )
    // What was told to stop says so by the signal's status, which takes another one than 0.
    const exit = report.quarantined > 0 || report.status === 'interrupted' ? 1 : 0
    return { exit, json: report, text: summary(report) }
  },
}

/** The places of a stream are opened with what a command has. */
export function openOutside(io: Io) {
  const { env, cwd, clock, random, signal } = io
  return { env, cwd, clock, random, randomBytes, uuid: randomUUID, signal, say: (note: string) => io.note(note) }
}

export function resetCommand(config: string, set: readonly string[]): string {
  return `${typed('stream positions reset', config, set)} --to WHERE --reason TEXT`
}

async function runWith(
  places: StreamPlaces,
  settings: StreamSettings,
  job: StreamJob,
  io: Io,
  commands: { readonly command: string; readonly resetCommand: string },
  options: StreamOptions,
): Promise<StreamReport> {
  const { clock } = io
  const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
  const { kinesis, ...rest } = places
  const run: StreamRun = new StreamRun(
    job,
    {
      ...rest,
      kinesis: await kinesis(),
      streamName: streamNameOf(job),
      sealer: sealerOf(job, places),
      runId: runId(clock.wall()),
      createdBy: `pseudolake version ${version()}`,
      usage,
      ...commands,
      onEvent(event) {
        if (io.json) io.out(`${JSON.stringify(event)}\n`)
        else if (said(event) !== undefined) io.note(`${job.name}: ${said(event)}`)
        showStatus()
      },
    },
    options,
  )
  // Before anything goes on by itself: a port that is taken ends the command.
  const { metrics } = settings
  const served =
    metrics &&
    (await serveMetrics({
      ...metrics,
      gauges: () => run.gauges(),
      labels: { job: job.name, stream: streamNameOf(job) },
      alarmMs: settings.alarms.iterator_age,
    }))
  if (served) io.note(`metrics and health on ${served.url}`)
  const ended = new AbortController()
  const showStatus = () => shown.update({ label: job.name, done: 0, total: 0, detail: statusLine(run.gauges()) })
  const showing = (async () => {
    while (!ended.signal.aborted) {
      showStatus()
      await clock.sleep(1000, ended.signal).catch(() => undefined)
    }
  })()
  try {
    return await run.run()
  } finally {
    ended.abort()
    await showing
    shown.end()
    await served?.close()
  }
}

async function realPlaces({ table }: StreamJob) {
  const { warehouse, database, table: name, state } = table
  const output = warehouse && (await realPath(`${warehouse}/${database}/${name}`))
  return { output, state: await realPath(state) }
}

/** What a person is told of an event; commits are in the status line. */
function said(event: StreamEvent): string | undefined {
  switch (event.event) {
    case 'commit':
      return undefined
    case 'owner':
      return `owner of the stream at epoch ${event.epoch}, ${event.shards} shards`
    case 'standby':
      return `another consumer owns the stream (epoch ${event.epoch}); in standby`
    case 'retry':
      return `${event.code}; again in ${(event.wait_ms / 1000).toFixed(1)} s`
    case 'alarm':
      return `${event.shard} is ${(event.lag_ms / 1000).toFixed(0)} s behind`
    case 'upkeep':
      return `${event.what}: ${event.done}`
    case 'note':
      return event.message
  }
}

function summary(report: StreamReport): string {
  const { records, rows, quarantined, duplicates, commits, service } = report
  return [
    `${report.status === 'interrupted' ? 'told to stop: ' : ''}${count(records)} records, ${count(rows)} rows in ${count(commits)} commits, ${report.seconds.toFixed(1)} s`,
    ...(quarantined > 0
      ? [`${count(quarantined)} records could not be read, and were sealed: pseudolake quarantine list`]
      : []),
    ...(duplicates > 0 ? [`${count(duplicates)} records were dropped, as their keys were seen before`] : []),
    `${count(service.identifiers)} values pseudonymized in ${count(service.requests)} requests; ${report.cpu_seconds.toFixed(2)} s of CPU, at most ${bytes(report.peak_rss_bytes)} of memory`,
    `${count(report.shards)} shards, ${report.lag_ms === 0 ? 'caught up' : `${(report.lag_ms / 1000).toFixed(1)} s behind`}`,
    ...report.notes.map((note) => `note: ${note}`),
    `table ${report.table}, snapshot ${report.snapshot_id}`,
    report.location,
    '',
  ].join('\n')
}
