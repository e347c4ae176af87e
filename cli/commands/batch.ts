import { randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { openStorage } from '../../lib/storage/open.ts'
import { type BatchJob, batchJob } from '../../pipelines/batch/job.ts'
import { fixedPart, type Places, requireApart } from '../../pipelines/batch/overlap.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { type BatchOptions, runBatch } from '../../pipelines/batch/run.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import type { BatchSettings } from '../../pipelines/config/native.ts'
import { connectService, requireService } from '../../pipelines/service.ts'
import type { Command, Io } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { absolute, realPath } from '../paths.ts'
import { version } from '../version.ts'

export const batch: Command = {
  name: 'batch',
  summary: 'Pseudonymize a dataset into an Iceberg table',
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
      summary: 'Override a key of it: --set limits.max_concurrency=8',
    },
    adopt: {
      type: 'string',
      value: 'WHICH',
      choices: ['all', 'none'],
      summary: 'For a table with rows and no mark: the inputs present now are done, or none of them is',
    },
    'allow-key-change': { type: 'boolean', summary: 'Go on although the service has another key than the table' },
  },
  examples: [
    ['pseudolake batch --config job.yaml', 'publish what is new'],
    [
      'pseudolake batch --config job.yaml --set input.path=/data/today --json',
      'with another input; the result as JSON',
    ],
    ['pseudolake batch --config job.yaml --adopt all', 'take over a table whose rows came from the inputs present now'],
  ],
  async run(args, io) {
    const file = absolute(io.cwd, args.string('config') ?? '')
    const settings = readBatchConfig(await readConfig(file), { set: args.strings('set'), env: io.env })
    const adopt = args.string('adopt') as 'all' | 'none' | undefined
    const report = await runWithProgress(settings, io, `pseudolake batch --config ${args.string('config')}`, {
      allowKeyChange: args.flag('allow-key-change'),
      ...(adopt === undefined ? {} : { adopt }),
    })
    return { exit: 0, json: report, text: summary(report) }
  },
}

/** Runs a batch on this machine's storage, with a bar or lines on stderr. */
export async function runWithProgress(
  settings: BatchSettings,
  io: Io,
  command: string,
  options: BatchOptions,
): Promise<BatchReport> {
  const { clock, random, signal } = io
  const job = batchJob(settings, io.cwd)
  requireService(settings, io.env)
  requireApart(await realPlaces(job))
  const storage = openStorage()
  const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
  let totalBytes = 0
  let totalFiles = 0
  try {
    return await runBatch(
      job,
      {
        storage,
        catalog: filesystemCatalog({ storage, warehouse: job.warehouse, clock }),
        connect: () => connectService(settings, { env: io.env, cwd: io.cwd, clock, random, randomBytes }),
        clock,
        random,
        uuid: randomUUID,
        runId: runId(clock.wall()),
        createdBy: `pseudolake version ${version()}`,
        command,
        usage,
        signal,
        onEvent(event) {
          if (event.type === 'listed') {
            totalBytes = event.bytes
            totalFiles = event.files
            shown.update({ label: job.name, done: 0, total: totalBytes, detail: `0 of ${totalFiles} files` })
          } else if (event.type === 'progress')
            shown.update({
              label: job.name,
              done: event.bytes,
              total: totalBytes,
              detail: `${event.files} of ${totalFiles} files, ${count(event.rows)} rows`,
            })
        },
      },
      options,
    )
  } finally {
    shown.end()
  }
}

/** Where the job really reads and writes: links may lead from one into the other. */
async function realPlaces({ input, warehouse, database, table, state }: BatchJob): Promise<Places> {
  const base = fixedPart(input)
  return {
    input: `${await realPath(base)}${base === input ? '' : `/${input.slice(base.length)}`}`,
    output: await realPath(`${warehouse}/${database}/${table}`),
    state: await realPath(state),
  }
}

/** What a person reads after a run. */
export function summary(report: BatchReport): string {
  const { rows, files, service } = report
  if (report.status === 'nothing-to-do')
    return `nothing to do: all ${count(report.skipped_files)} inputs of ${report.job} are in ${report.table} already\n${report.location}\n`
  const lines = [
    `${count(rows)} rows from ${count(files)} ${files === 1 ? 'file' : 'files'} in ${seconds(report.seconds)}` +
      `${report.skipped_files > 0 ? `, ${count(report.skipped_files)} files were done before` : ''}`,
    `${report.distinct_exact ? '' : 'about '}${count(report.distinct)} distinct values pseudonymized in ${count(service.requests)} requests` +
      `${service.retries > 0 ? ` (${count(service.retries)} retries, ${count(service.throttled)} of them throttled)` : ''}`,
    `${bytes(report.bytes_in)} read, ${bytes(report.bytes_out)} written; ${report.cpu_seconds.toFixed(2)} s of CPU, at most ${bytes(report.peak_rss_bytes)} of memory`,
    ...report.columns
      .filter((column) => column.action !== 'copied')
      .map(
        ({ column, action, as, mode }) =>
          `  ${column}: ${action}${mode ? `, ${mode}` : ''}${as && as !== column ? `, now ${as}` : ''}`,
      ),
    ...report.notes.map((note) => `note: ${note}`),
    `table ${report.table}, snapshot ${report.snapshot_id}`,
    `${report.location}`,
  ]
  return `${lines.join('\n')}\n`
}

/** Sorts by time; the random part keeps runs of one second apart. */
export function runId(wallMs: number): string {
  const time = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return `${time}-${randomUUID().slice(0, 8)}`
}

function usage() {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }
}

function seconds(s: number): string {
  return s < 10
    ? `${s.toFixed(2)} s`
    : s < 90
      ? `${s.toFixed(1)} s`
      : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`
}

async function readConfig(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'unknown'
    throw new PseudolakeError(
      'config/invalid',
      `cannot read the configuration ${file} (${errno})`,
      { file, errno },
      { cause: error },
    )
  }
}
