/** `table verify --legacy`: missing values that the reference’s job gave pseudonyms. */
import { randomBytes, randomUUID } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { connectService } from '../../pipelines/service.ts'
import { checkLegacy, type LegacyReport } from '../../pipelines/tables/legacy.ts'
import type { Arguments, Io, Outcome } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count, table } from '../output/text.ts'
import { runId } from '../run-id.ts'
import { withTableToChange } from '../tables.ts'
import { version } from '../version.ts'

export async function verifyLegacy(args: Arguments, io: Io): Promise<Outcome> {
  const { clock, random, signal, env, cwd } = io
  const config = args.string('config')
  if (config === undefined)
    throw new PseudolakeError(
      'options/invalid',
      '--legacy needs --config: its columns and its service say what to look for',
    )
  if (args.flag('full')) throw new PseudolakeError('options/invalid', '--full does not go with --legacy')
  if (args.flag('plan') && !args.flag('repair'))
    throw new PseudolakeError('options/invalid', '--plan goes with --repair')
  const given = args.positionals[0] ?? ''
  const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
  try {
    const report = await withTableToChange(args, io, given, async (opened, _ledgers, settings) => {
      // Checked above: there is a configuration.
      if (!settings) throw new PseudolakeError('internal/bug', 'a configuration without settings')
      const outside = { env, cwd, clock, random, randomBytes, say: (note: string) => io.note(note) }
      const service = await connectService(settings, outside)
      try {
        return await checkLegacy(
          opened,
          batchJob(settings, cwd),
          service.client,
          {
            repair: args.flag('repair'),
            plan: args.flag('plan'),
            runId: runId(clock.wall()),
            createdBy: `pseudolake version ${version()}`,
            onLooked: ({ files, totalFiles, cells }) =>
              shown.update({
                label: 'look',
                done: files,
                total: totalFiles,
                detail: `${count(files)} files, ${count(cells)} cells found`,
              }),
            onRewritten: ({ bins, totalBins, bytes: done, totalBytes }) =>
              shown.update({
                label: 'repair',
                done,
                total: totalBytes,
                detail: `${count(bins)} of ${count(totalBins)} files, ${bytes(done)} of ${bytes(totalBytes)}`,
              }),
          },
          { clock, random, signal, uuid: randomUUID },
        )
      } finally {
        await service.close()
      }
    })
    return { exit: report.status === 'needs-a-look' ? 1 : 0, json: report, text: text(report) }
  } finally {
    shown.end()
  }
}

const SHOWN = 20

function text(report: LegacyReport): string {
  const columns = Object.entries(report.columns).map(([name, { domain, none, empty, key_checked: checked }]) => [
    name,
    domain,
    none,
    empty,
    checked ? 'yes' : 'no pin',
  ])
  const files = report.files
    .slice(0, SHOWN)
    .flatMap(({ location, rows, columns: of }) =>
      Object.entries(of).map(([name, { none, empty }]) => [location, name, rows, none, empty]),
    )
  const lines = [
    `${report.location}, snapshot ${report.snapshot_id ?? 'none'}`,
    `${count(report.files_looked_at)} files looked at, ${count(report.files_found)} have cells that the reference’s job should have left null`,
    '',
    table(['column', 'domain', 'of "None"', 'of the empty text', 'key checked'], columns).trimEnd(),
    ...(files.length > 0
      ? ['', table(['file', 'column', 'rows', 'of "None"', 'of the empty text'], files).trimEnd()]
      : []),
    ...(report.files_found > SHOWN ? [`and ${count(report.files_found - SHOWN)} more files`] : []),
    '',
    ...(report.files_rewritten > 0
      ? [`${count(report.files_rewritten)} files were written anew, in one snapshot: these cells are null now`]
      : []),
    ...(report.upgraded ? ['the table was of format version 1 and is of version 2 now'] : []),
    ...report.notes.map((note) => `note: ${note}`),
    ENDS[report.status],
  ]
  return `${lines.join('\n')}\n`
}

const ENDS: Readonly<Record<LegacyReport['status'], string>> = {
  clean: 'clean',
  'needs-a-look': 'needs a look: --repair makes these cells null',
  planned: 'nothing was changed',
  repaired: 'repaired; earlier snapshots still have the cells until they expire',
}
