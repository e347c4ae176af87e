import { PseudolakeError } from '../../lib/core/errors.ts'
import { FINDING_KINDS, type FindingKind } from '../../pipelines/verify/findings.ts'
import { type VerifyReport, verifyTable } from '../../pipelines/verify/verify.ts'
import type { Command } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { TABLE_LOCATION, TABLE_OPTIONS, withTables } from '../tables.ts'

export const tableVerify: Command = {
  name: 'table verify',
  summary: 'Whether every file of a table is there, its counts are true, and no identifier shows anywhere in it',
  positionals: [
    {
      name: 'LOCATION',
      required: true,
      summary: TABLE_LOCATION,
    },
  ],
  options: {
    ...TABLE_OPTIONS,
    full: {
      type: 'boolean',
      summary:
        'Read every page of every column; else footers, and of replaced columns the dictionaries and first pages',
    },
    legacy: {
      type: 'boolean',
      summary:
        'Instead: look for pseudonyms of "None" and of the empty text, which the reference’s job wrote where values were missing; needs --config',
    },
    repair: { type: 'boolean', summary: 'With --legacy: make those cells null, in one snapshot' },
    plan: { type: 'boolean', summary: 'With --legacy --repair: print what would be done, and change nothing' },
  },
  examples: [
    ['pseudolake table verify /lake/warehouse/db/pseudo_table', 'status 0: clean; 1: something needs a look'],
    ['pseudolake table verify /lake/warehouse/db/pseudo_table --full --json', 'every page; findings for scripts'],
    [
      'pseudolake table verify glue:blog_batch_db.pseudo_table --config emr.yaml --legacy --repair',
      'mend a table of the reference',
    ],
  ],
  async run(args, io) {
    const { clock, signal } = io
    if (args.flag('legacy')) return (await import('./verify-legacy.ts')).verifyLegacy(args, io)
    for (const name of ['repair', 'plan'])
      if (args.flag(name)) throw new PseudolakeError('options/invalid', `--${name} goes with --legacy`)
    const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
    try {
      const report = await withTables(args, io, async (open, ledgers) => {
        const { storage, state, current, table } = await open(args.positionals[0] ?? '')
        return verifyTable(state, {
          storage,
          current,
          ...(ledgers !== undefined && { ledgers }),
          ...(table && { table }),
          full: args.flag('full'),
          now: clock.wall(),
          signal,
          onProgress: ({ files, totalFiles, bytes: read, findings }) =>
            shown.update({
              label: 'verify',
              done: files,
              total: totalFiles,
              detail: `${count(files)} files of ${bytes(read)}, ${count(findings)} findings`,
            }),
        })
      })
      return { exit: report.status === 'clean' ? 0 : 1, json: report, text: text(report) }
    } finally {
      shown.end()
    }
  },
}

/** Findings that a person gets to see; `--json` has more. */
const SHOWN = 20

function text(report: VerifyReport): string {
  const { checked, counts, findings, jobs, streams, notes } = report
  const kinds = Object.keys(counts) as FindingKind[]
  const young = findings.filter((finding) => finding.maybe_in_flight).length
  const lines = [
    `${report.location}, snapshot ${report.snapshot_id ?? 'none'}`,
    `${count(checked.data_files)} data files and ${count(checked.delete_files)} delete files (${bytes(checked.bytes)}), ` +
      `${count(checked.manifests)} manifests, ${count(checked.manifest_lists)} manifest lists, ${count(checked.metadata)} metadata files`,
    `replaced columns: ${report.replaced_columns.join(', ') || 'none'}; ${report.full ? 'every page was read' : 'first pages were read (--full reads all)'}`,
    ...jobs.map(
      (job) =>
        `job ${job.job}: epoch ${count(job.epoch)}, ${count(job.inputs)} inputs, ${count(job.files_in_table)} of their files are in the table` +
        `${job.files_removed > 0 ? `, ${count(job.files_removed)} were removed by later snapshots` : ''}`,
    ),
    ...streams.map(
      (stream) =>
        `stream ${stream.job}: epoch ${count(stream.epoch)}, ${count(stream.shards)} shards, ${count(stream.ended)} of them at their ends, ${count(stream.marks)} marks in its history` +
        `${stream.quarantined > 0 ? `; ${count(stream.quarantined)} records were sealed in ${count(stream.objects)} objects (${count(stream.replayed)} replayed, ${count(stream.purged)} purged)` : ''}`,
    ),
    ...notes.map((note) => `note: ${note}`),
  ]
  for (const kind of kinds) {
    const of = findings.filter((finding) => finding.kind === kind)
    lines.push('', `${kind} (${count(counts[kind] ?? 0)}): ${FINDING_KINDS[kind]}`)
    for (const { location, column, row_group, page, message } of of.slice(0, SHOWN)) {
      const where = [
        column === undefined ? undefined : `column ${column}`,
        row_group === undefined ? undefined : `row group ${row_group}`,
        page === undefined ? undefined : `page ${page}`,
      ].filter((part) => part !== undefined)
      lines.push(`  ${location}${where.length > 0 ? ` (${where.join(', ')})` : ''}: ${message}`)
    }
    if ((counts[kind] ?? 0) > SHOWN) lines.push(`  and ${count((counts[kind] ?? 0) - SHOWN)} more`)
  }
  lines.push(
    '',
    report.status === 'clean'
      ? `clean${young > 0 ? `: the ${count(young)} files that nothing names may be a run’s that is at work` : ''}`
      : 'needs a look',
  )
  return `${lines.join('\n')}\n`
}
