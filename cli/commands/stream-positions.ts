import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Start } from '../../lib/kinesis/positions.ts'
import { streamJob } from '../../pipelines/stream/job.ts'
import { streamNameOf, withPlaces } from '../../pipelines/stream/open.ts'
import { type PositionsReport, resetPositions, showPositions } from '../../pipelines/stream/positions.ts'
import type { Command } from '../command.ts'
import { readStream } from '../config-file.ts'
import { table } from '../output/text.ts'
import { runId } from '../run-id.ts'
import { openOutside, STREAM_CONFIG } from './stream.ts'

export const streamPositionsShow: Command = {
  name: 'stream positions show',
  summary: 'How far a table has read its stream, shard by shard',
  options: STREAM_CONFIG,
  examples: [['pseudolake stream positions show --config stream.yaml', 'positions, epoch, and who committed last']],
  async run(args, io) {
    const settings = await readStream(args.string('config') ?? '', args.strings('set'), io)
    const job = streamJob(settings, io.cwd)
    const report = await withPlaces(settings, job, openOutside(io), (places) => showPositions(job, places))
    return { exit: report.status === 'rolled-back' ? 1 : 0, json: report, text: textOf(report) }
  },
}

export const streamPositionsReset: Command = {
  name: 'stream positions reset',
  summary: 'Say where a stream goes on, when it has stopped for good reason',
  options: {
    ...STREAM_CONFIG,
    to: {
      type: 'string',
      value: 'WHERE',
      required: true,
      summary: 'trim_horizon, latest, a time such as 2026-01-31T00:00:00Z, or current: give up what is missing',
    },
    reason: { type: 'string', value: 'TEXT', required: true, summary: 'Why, for whoever reads the table’s history' },
  },
  examples: [
    [
      'pseudolake stream positions reset --config stream.yaml --to trim_horizon --reason "stream made anew"',
      'begin with the oldest record that is kept; rows may come twice, and none is left out',
    ],
    [
      'pseudolake stream positions reset --config stream.yaml --to current --reason "rollback was wanted"',
      'go on where the table says, whatever became of its rows',
    ],
  ],
  async run(args, io) {
    const settings = await readStream(args.string('config') ?? '', args.strings('set'), io)
    const job = streamJob(settings, io.cwd)
    const to = whereOf(args.string('to') ?? '')
    const reason = (args.string('reason') ?? '').trim()
    if (reason === '')
      throw new PseudolakeError('options/invalid', '--reason: expected a few words', { option: 'reason' })
    const options = { to, reason, runId: runId(io.clock.wall()) }
    const report = await withPlaces(settings, job, openOutside(io), (places) =>
      resetPositions(job, places, streamNameOf(job), options),
    )
    return { exit: 0, json: report, text: textOf(report) }
  },
}

function whereOf(given: string): Start | 'current' {
  const word = given.trim().toLowerCase()
  if (word === 'current') return word
  if (word === 'trim_horizon') return 'TRIM_HORIZON'
  if (word === 'latest') return 'LATEST'
  const at = /^\d{4}-\d\d-\d\dt\d\d:\d\d(:\d\d(\.\d+)?)?(z|[+-]\d\d:\d\d)$/.test(word) ? Date.parse(given) : Number.NaN
  if (!Number.isNaN(at)) return { at }
  throw new PseudolakeError(
    'options/invalid',
    '--to: expected trim_horizon, latest, current, or a time with its zone such as 2026-01-31T00:00:00Z',
    { option: 'to' },
  )
}

function textOf({ job, epoch, run, status, stream, shards, quarantined, location }: PositionsReport): string {
  if (status === 'none') return `${location} has no positions of job ${job}\n`
  return [
    `job ${job}, epoch ${epoch}, committed by run ${run}`,
    `stream ${stream?.arn}, made ${stream?.created}`,
    ...(status === 'rolled-back' ? ['the table was rolled back behind these positions, or lost them'] : []),
    ...(quarantined > 0 ? [`${quarantined} records were sealed so far: pseudolake quarantine list`] : []),
    table(
      ['shard', 'position', 'nothing unread before'],
      Object.entries(shards).map(([shard, { position, since }]) => [shard, position, since]),
    ),
  ].join('\n')
}
