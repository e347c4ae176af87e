import { randomUUID } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { IN_FLIGHT_MS } from '../../lib/iceberg/operations/lying-files.ts'
import { type ExpireReport, expireTable } from '../../pipelines/tables/expire.ts'
import { durationOf, timeOf } from '../ages.ts'
import type { Command } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { runId } from '../run-id.ts'
import { TABLE_OPTIONS, withTableToChange } from '../tables.ts'

export const tableExpire: Command = {
  name: 'table expire',
  summary: 'Take snapshots that a table has outlived out of it, and the files that only they needed',
  positionals: [
    {
      name: 'LOCATION',
      required: true,
      summary: 'The table: its folder, glue:db.table, or rest:db.table with --config',
    },
  ],
  options: {
    ...TABLE_OPTIONS,
    'older-than': {
      type: 'string',
      value: 'AGE',
      summary: 'Snapshots of before: an age as 7d or 12h, or a time as 2026-01-31T00:00:00Z',
      default: 'history.expire.max-snapshot-age-ms of the table, 5d without',
    },
    'keep-last': {
      type: 'integer',
      value: 'N',
      summary: 'Snapshots that each branch keeps, whatever their age',
      default: 'history.expire.min-snapshots-to-keep of the table, 1 without',
    },
    orphans: {
      type: 'boolean',
      summary: 'Remove files that nothing of the table reaches, too, and ledgers that no mark names',
    },
    'orphans-older-than': {
      type: 'string',
      value: 'AGE',
      summary: 'Only those at least so old; never less than 3d',
      default: '3d',
    },
    plan: { type: 'boolean', summary: 'Print what would go, and change nothing' },
  },
  examples: [
    ['pseudolake table expire /lake/warehouse/db/pseudo_table --plan', 'what would go'],
    [
      'pseudolake table expire /lake/warehouse/db/pseudo_table --older-than 7d --keep-last 10',
      'a week of history, ten snapshots at least',
    ],
    [
      'pseudolake table expire /lake/warehouse/db/pseudo_table --orphans --json',
      'what failed attempts left behind, too',
    ],
  ],
  async run(args, io) {
    const { clock, random, signal } = io
    const older = args.string('older-than')
    const keepLast = args.number('keep-last')
    if (keepLast !== undefined && keepLast < 1)
      throw new PseudolakeError('options/invalid', `--keep-last: expected at least 1, got ${keepLast}`)
    const age = args.string('orphans-older-than')
    if (age !== undefined && !args.flag('orphans'))
      throw new PseudolakeError('options/invalid', '--orphans-older-than goes with --orphans')
    const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
    const say = (detail: string) => shown.update({ label: 'expire', done: 0, total: 0, detail })
    say('snapshots are compared')
    try {
      const report = await withTableToChange(args, io, args.positionals[0] ?? '', (opened, ledgers) =>
        expireTable(
          opened,
          {
            ...(ledgers !== undefined && { state: ledgers }),
            runId: runId(clock.wall()),
            plan: args.flag('plan'),
            ...(older !== undefined && { olderThan: timeOf('--older-than', older, clock.wall()) }),
            ...(keepLast !== undefined && { keepLast }),
            ...(args.flag('orphans') && {
              orphansOlderThanMs: age === undefined ? IN_FLIGHT_MS : durationOf('--orphans-older-than', age),
            }),
            onRemoved: (removed) => say(`${count(removed)} files removed`),
          },
          { clock, random, signal, uuid: randomUUID },
        ),
      )
      return { exit: report.status === 'needs-a-look' ? 1 : 0, json: report, text: text(report) }
    } finally {
      shown.end()
    }
  },
}

const KINDS: Readonly<Record<keyof ExpireReport['removed'], string>> = {
  data_files: 'data files',
  delete_files: 'delete files',
  manifests: 'manifests',
  manifest_lists: 'manifest lists',
  statistics: 'statistics files',
  metadata: 'old metadata files',
  orphans: 'orphans',
  uploads: 'unfinished uploads',
}

function text(report: ExpireReport): string {
  const { removed, orphans } = report
  const planned = report.status === 'planned'
  const files = Object.entries(KINDS).flatMap(([kind, name]) => {
    const n = removed[kind as keyof typeof removed]
    return n > 0 ? [`${count(n)} ${name}`] : []
  })
  const lines = [
    `${report.location}, snapshot ${report.snapshot_id ?? 'none'}`,
    `${count(report.expired_snapshots.length)} snapshots ${planned ? 'would expire' : 'expired'}, ${count(report.kept_snapshots)} stay`,
    ...(report.expired_refs.length > 0 ? [`branches and tags past their age: ${report.expired_refs.join(', ')}`] : []),
    `${planned ? 'would be removed' : 'removed'}: ${files.join(', ') || 'no file'} (${bytes(report.bytes_removed)})`,
    ...(orphans.searched && orphans.young > 0
      ? [`${count(orphans.young)} orphans stay: they are young, so a run may be about to publish them`]
      : []),
    ...(orphans.needed > 0
      ? [`${count(orphans.needed)} orphans stay: their runs have not ended, or left them for their job’s next run`]
      : []),
    ...(report.failed > 0
      ? [`${count(report.failed)} files could not be removed, ${report.failures[0]} first; run again`]
      : []),
    ...(report.upgraded ? ['the table was of format version 1 and is of version 2 now'] : []),
    ...report.notes.map((note) => `note: ${note}`),
  ]
  return `${lines.join('\n')}\n`
}
