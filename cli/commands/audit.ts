import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Direction } from '../../lib/wire/contract.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { storageAs } from '../../pipelines/storages.ts'
import { type Exported, type ExportFilter, exportAudit } from '../../service/audit/export.ts'
import { anchorsOf } from '../../service/audit/open.ts'
import { type AuditReport, checkAudit } from '../../service/audit/verify.ts'
import { timeOf } from '../ages.ts'
import type { Arguments, Command, Io } from '../command.ts'
import { absolute } from '../paths.ts'

const DIR = {
  name: 'DIR',
  required: true,
  summary: 'The record: the folder that `service start` wrote (`<keyring>.audit`), or an s3:// location',
} as const

export const auditVerify: Command = {
  name: 'audit verify',
  summary:
    'Check a record of calls: that no line was changed or taken out, and that its chains agree with their anchors.',
  positionals: [DIR],
  options: {
    anchors: {
      type: 'string',
      value: 'PLACE',
      default: '<DIR>.anchors.jsonl, of a bucket <DIR>.anchors/, if there are any',
      summary: 'The anchors: a file, or a folder or s3:// location with a slash at its end',
    },
  },
  examples: [
    ['pseudolake audit verify keys.json.audit', 'exit 1 where something was changed'],
    ['pseudolake audit verify s3://audit/calls/ --anchors s3://anchors/service/', 'a record and anchors in buckets'],
  ],
  run: (args, io) =>
    withStorage(io, async (storage) => {
      const folder = absolute(io.cwd, args.positionals[0] ?? '')
      const given = args.string('anchors')
      const anchors = given === undefined ? await ifThere(storage, anchorsOf(folder)) : placeOf(io.cwd, given)
      const report = await checkAudit(storage, folder, anchors)
      const json = { record: folder, anchors: anchors ?? null, ...report }
      return { exit: report.status === 'whole' ? 0 : 1, json, text: textOf(report, anchors) }
    }),
}

export const auditExport: Command = {
  name: 'audit export',
  summary: 'Write the entries of a record of calls, as JSON lines or CSV.',
  positionals: [DIR],
  options: {
    out: {
      type: 'string',
      value: 'F',
      default: 'stdout',
      summary: 'Where to write, never over another file; needed with --json, whose one document goes to stdout',
    },
    format: { type: 'string', value: 'FORMAT', choices: ['jsonl', 'csv'], default: 'jsonl', summary: 'Of the entries' },
    since: { type: 'string', value: 'T', summary: 'From an age as 7d or a time as 2026-01-31T00:00:00Z on' },
    until: { type: 'string', value: 'T', summary: 'Up to an age or a time' },
    caller: { type: 'string', value: 'NAME', summary: 'Of one caller' },
    direction: { type: 'string', value: 'D', choices: ['pseudonymize', 'reidentify'], summary: 'Of one direction' },
    domain: { type: 'string', value: 'D', summary: 'Of one domain' },
  },
  examples: [
    [
      'pseudolake audit export keys.json.audit --direction reidentify --since 30d --format csv --out back.csv',
      'who went back in the last month, and what for',
    ],
  ],
  async run(args, io) {
    const out = args.string('out')
    if (io.json && out === undefined)
      throw new PseudolakeError('options/invalid', '--json: needs --out, as entries go to stdout otherwise', {
        option: 'json',
      })
    const csv = args.string('format') === 'csv'
    const filter = filterOf(args, io)
    return withStorage(io, async (storage) => {
      const sink = out === undefined ? stdout(io) : await file(resolve(io.cwd, out))
      let entries = 0
      try {
        if (csv) await sink.write(`${CSV_FIELDS.join(',')}\n`)
        for await (const entry of exportAudit(storage, absolute(io.cwd, args.positionals[0] ?? ''), filter)) {
          await sink.write(csv ? csvOf(entry) : `${JSON.stringify(entry)}\n`)
          entries++
        }
      } finally {
        await sink.close()
      }
      return { exit: 0, json: { out, entries }, text: out === undefined ? '' : `wrote ${entries} entries to ${out}` }
    })
  },
}

async function withStorage<T>(io: Io, use: (storage: Storage) => Promise<T>): Promise<T> {
  const { env, clock, random } = io
  const { aws, close } = lazyAws(env)
  try {
    return await use(storageAs({}, { env, clock, random, aws }))
  } finally {
    await close()
  }
}

/** A slash at the end says that it is a folder, and must outlive the making of a path. */
function placeOf(cwd: string, given: string): string {
  const place = absolute(cwd, given)
  return given.endsWith('/') && !place.endsWith('/') ? `${place}/` : place
}

async function ifThere(storage: Storage, place: string): Promise<string | undefined> {
  try {
    if (place.endsWith('/')) {
      for await (const _ of storage.list(place)) return place
      return undefined
    }
    await storage.stat(place)
    return place
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return undefined
    throw error
  }
}

function filterOf(args: Arguments, io: Io): ExportFilter {
  const [since, until] = [args.string('since'), args.string('until')]
  const [caller, direction, domain] = [args.string('caller'), args.string('direction'), args.string('domain')]
  return {
    ...(since !== undefined && { since: timeOf('--since', since, io.clock.wall()) }),
    ...(until !== undefined && { until: timeOf('--until', until, io.clock.wall()) }),
    ...(caller !== undefined && { caller }),
    ...(direction !== undefined && { direction: direction as Direction }),
    ...(domain !== undefined && { domain }),
  }
}

interface Sink {
  write(text: string): Promise<void>
  close(): Promise<void>
}

function stdout(io: Io): Sink {
  return { write: async (text) => io.out(text), close: async () => undefined }
}

async function file(path: string): Promise<Sink> {
  try {
    const handle = await open(path, 'wx', 0o600)
    return { write: (text) => handle.appendFile(text), close: () => handle.close() }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST')
      throw new PseudolakeError('options/invalid', `${path}: there is a file already; choose another --out`, {
        file: path,
      })
    throw new PseudolakeError('storage/denied', `${path}: can't be written (${code ?? 'unknown error'})`, {
      file: path,
    })
  }
}

const CSV_FIELDS = [
  'chain',
  'n',
  'time',
  'request_id',
  'gateway_id',
  'trace_id',
  'caller',
  'principal',
  'direction',
  'domain',
  'keys',
  'purpose',
  'values',
  'outcome',
] as const

function csvOf(entry: Exported): string {
  const cells = CSV_FIELDS.map((field) => {
    const value = entry[field]
    const text = Array.isArray(value) ? value.join(' ') : value === null || value === undefined ? '' : String(value)
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  })
  return `${cells.join(',')}\n`
}

function textOf(report: AuditReport, anchors: string | undefined): string {
  const lines = report.chains.map(
    ({ chain, files, entries, unanchored, first, last }) =>
      `${chain || 'without a name'}  ${files} files  ${entries} entries  ${first ?? '-'} … ${last ?? '-'}  ${unanchored} not anchored`,
  )
  for (const { chain, superseded, torn, problems } of report.chains) {
    if (superseded > 0) lines.push(`${chain}: ${superseded} lines were written again after a failure`)
    if (torn > 0) lines.push(`${chain}: ${torn} files end in a line that was cut off, as a crash leaves it`)
    for (const { what, file, line, n } of problems)
      lines.push(`${chain}: ${SAYS[what]}${file ? ` (${file}, line ${line})` : ` (entry ${n})`}`)
  }
  if (report.unreadable_anchors > 0) lines.push(`${report.unreadable_anchors} lines of the anchors are none`)
  if (anchors === undefined)
    lines.push('without anchors: an end that was cut off, or a record that was written anew, would not show')
  lines.push(report.status === 'whole' ? `whole: ${report.entries} entries` : 'broken')
  return lines.join('\n')
}

const SAYS = {
  altered: 'a line does not follow from the one before it',
  unlinked: 'what came before this file is missing',
  cut: 'an anchor is farther than the record goes: its end is missing',
  differs: 'an anchor has another line than the record',
  gone: 'an anchor’s record is missing',
} as const
