import { randomUUID } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type CompactReport, compactTable } from '../../pipelines/tables/compact.ts'
import { sizeOf } from '../ages.ts'
import type { Command } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { runId } from '../run-id.ts'
import { TABLE_OPTIONS, withTableToChange } from '../tables.ts'
import { version } from '../version.ts'

export const tableCompact: Command = {
  name: 'table compact',
  summary: 'Put small data files together, and leave out the rows that deletes are about',
  positionals: [
    {
      name: 'LOCATION',
      required: true,
      summary: 'The table: its folder, glue:db.table, or rest:db.table with --config',
    },
  ],
  options: {
    ...TABLE_OPTIONS,
    'target-size': {
      type: 'string',
      value: 'SIZE',
      summary: 'How large a file should be',
      default: 'write.target-file-size-bytes of the table, 512MB without',
    },
    'min-files': {
      type: 'integer',
      value: 'N',
      summary: 'Small files that are worth a rewrite',
      default: '5',
    },
    force: {
      type: 'boolean',
      summary:
        'Take files that a batch job’s ledger names, too: replacing their inputs stops then (input.changed: replace)',
    },
    plan: { type: 'boolean', summary: 'Print what would be done, and change nothing' },
  },
  examples: [
    ['pseudolake table compact /lake/warehouse/db/pseudo_table --plan', 'which files would become one'],
    ['pseudolake table compact /lake/warehouse/db/pseudo_table --target-size 128MB', 'files of about 128 MB'],
  ],
  async run(args, io) {
    const { clock, random, signal } = io
    const target = args.string('target-size')
    const minFiles = args.number('min-files')
    if (minFiles !== undefined && minFiles < 2)
      throw new PseudolakeError('options/invalid', `--min-files: expected at least 2, got ${minFiles}`)
    const targetBytes = target === undefined ? undefined : sizeOf('--target-size', target)
    const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
    shown.update({ label: 'compact', done: 0, total: 0, detail: 'footers are read' })
    try {
      const report = await withTableToChange(args, io, args.positionals[0] ?? '', (opened) =>
        compactTable(
          opened,
          {
            runId: runId(clock.wall()),
            createdBy: `pseudolake version ${version()}`,
            plan: args.flag('plan'),
            force: args.flag('force'),
            ...(targetBytes !== undefined && { targetBytes }),
            ...(minFiles !== undefined && { minFiles }),
            onProgress: ({ bins, totalBins, bytes: done, totalBytes }) =>
              shown.update({
                label: 'compact',
                done,
                total: totalBytes,
                detail: `${count(bins)} of ${count(totalBins)} files written, ${bytes(done)} of ${bytes(totalBytes)}`,
              }),
          },
          { clock, random, signal, uuid: randomUUID },
        ),
      )
      return { exit: 0, json: report, text: text(report) }
    } finally {
      shown.end()
    }
  },
}

function text(report: CompactReport): string {
  const planned = report.status === 'planned'
  const into = report.bytes_added === null ? '' : ` (${bytes(report.bytes_added)})`
  const lines = [
    `${report.location}, snapshot ${report.snapshot_id ?? 'none'}`,
    report.files_removed === 0
      ? 'no files to put together'
      : `${count(report.files_removed)} files (${bytes(report.bytes_removed)}) ${planned ? 'would become' : 'became'} ${planned ? 'about ' : ''}${count(report.files_added)}${into}`,
    ...(report.deleted_rows ? [`${count(report.deleted_rows)} deleted rows are left out`] : []),
    ...(report.delete_files_removed > 0
      ? [`${count(report.delete_files_removed)} delete files ${planned ? 'would go' : 'went'}`]
      : []),
    ...(report.upgraded ? ['the table was of format version 1 and is of version 2 now'] : []),
    ...report.notes.map((note) => `note: ${note}`),
  ]
  return `${lines.join('\n')}\n`
}
