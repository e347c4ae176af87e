import { randomBytes, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { compileLater } from '../../lib/core/compile-later.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { type BatchJob, batchJob, placeOf } from '../../pipelines/batch/job.ts'
import { fixedPart, type Places, requireApart } from '../../pipelines/batch/overlap.ts'
import { readPrices, shippedPrices } from '../../pipelines/batch/plan/prices.ts'
import type { BatchEvent, BatchReport } from '../../pipelines/batch/report.ts'
import { type BatchOptions, type BatchOutside, planBatch, runBatch } from '../../pipelines/batch/run.ts'
import { jobCatalog } from '../../pipelines/catalog.ts'
import type { BatchSettings } from '../../pipelines/config/native.ts'
import { connectService, requireService } from '../../pipelines/service.ts'
import { jobStorage } from '../../pipelines/storages.ts'
import type { Command, Io } from '../command.ts'
import { readConfig, readText } from '../config-file.ts'
import { failure } from '../output/failure.ts'
import { gateText } from '../output/gate.ts'
import { planText } from '../output/plan.ts'
import { type ReportFile, reportFile } from '../output/plan-report.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { absolute, realPath } from '../paths.ts'
import { runId } from '../run-id.ts'
import { typed } from '../typed.ts'
import { usage } from '../usage.ts'
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
      summary:
        'For a table with rows and no mark, or with one that can’t be followed: the inputs present now are done, or none of them is',
    },
    'inputs-from': {
      type: 'string',
      value: 'LIST',
      summary: 'A file of input locations, one a line: only these, all below input.path',
    },
    'modified-since': { type: 'string', value: 'T', summary: 'Only inputs written since, as 2026-01-31T00:00:00Z' },
    'max-files': { type: 'integer', value: 'N', summary: 'At most so many inputs; the next run goes on' },
    plan: { type: 'boolean', summary: 'Print what a run would do, and write nothing' },
    report: { type: 'string', value: 'F.html', summary: 'Write a page about the run, also when it fails' },
    prices: { type: 'string', value: 'F', summary: 'Prices and rates for the plan, in the place of the dated ones' },
    'allow-key-change': { type: 'boolean', summary: 'Go on although the service has another key than the table' },
  },
  examples: [
    ['pseudolake batch --config job.yaml', 'publish what is new'],
    [
      'pseudolake batch --config job.yaml --set input.path=/data/today --json',
      'with another input; the result as JSON',
    ],
    ['pseudolake batch --config job.yaml --plan', 'what a run would read, send, write and cost'],
    ['pseudolake batch --config job.yaml --report run.html', 'with a page for whoever was not there'],
    ['pseudolake batch --config job.yaml --adopt all', 'take over a table whose rows came from the inputs present now'],
  ],
  async run(args, io) {
    compileLater()
    const settings = await readConfig(args.string('config') ?? '', args.strings('set'), io)
    const adopt = args.string('adopt') as 'all' | 'none' | undefined
    const list = args.string('inputs-from')
    const since = args.string('modified-since')
    const maxFiles = args.number('max-files')
    const chosen = {
      'inputs-from': list,
      'modified-since': since,
      'max-files': maxFiles,
      adopt,
      'allow-key-change': args.flag('allow-key-change'),
    }
    const command = typed('batch', args.string('config') ?? '', args.strings('set'), chosen)
    const priceFile = args.string('prices')
    const prices = priceFile === undefined ? shippedPrices() : await pricesOf(priceFile, io)
    const options = {
      prices,
      allowKeyChange: args.flag('allow-key-change'),
      ...(adopt === undefined ? {} : { adopt }),
      ...(list === undefined ? {} : { inputsFrom: await readList(list, io) }),
      ...(since === undefined ? {} : { modifiedSince: timeOf(since) }),
      ...(maxFiles === undefined ? {} : { maxFiles: atLeastOne(maxFiles) }),
    }
    const page = args.string('report')
    if (args.flag('plan')) {
      if (page !== undefined)
        throw new PseudolakeError('options/invalid', '--plan writes nothing, so there is no --report of it', {})
      const plan = await planWith(settings, io, command, { ...options, plan: prices })
      return { exit: 0, json: plan, text: planText(plan) }
    }
    const planned = page !== undefined ? { ...options, plan: prices } : options
    const to = page === undefined ? undefined : await reportFile(absolute(io.cwd, page), batchJob(settings, io.cwd))
    const report = await reported(to, (onEvent) => runWithProgress(settings, io, command, planned, onEvent))
    const note = await to?.write(report)
    if (note !== undefined) io.note(note)
    return { exit: note === undefined && report.status !== 'gate-failed' ? 0 : 1, json: report, text: summary(report) }
  },
}

/** A run that fails has its page too. */
async function reported(
  to: ReportFile | undefined,
  run: (onEvent: (event: BatchEvent) => void) => Promise<BatchReport>,
): Promise<BatchReport> {
  let until: BatchReport | undefined
  try {
    return await run((event) => {
      if (event.type === 'failed') until = event.report
    })
  } catch (error) {
    if (until) await to?.write(until, failure(error).json.error)
    throw error
  }
}

/** Plans a batch where its configuration says. */
async function planWith(settings: BatchSettings, io: Io, command: string, options: Parameters<typeof planBatch>[2]) {
  const job = batchJob(settings, io.cwd)
  requireService(settings, io.env)
  requireApart(await realPlaces(job), job.plain !== undefined)
  return withOutside(settings, job, io, command, (outside) => planBatch(job, outside, options))
}

async function pricesOf(file: string, io: Io) {
  return readPrices(await readText(file, io, 'options/invalid', '--prices: cannot read'), file)
}

/** Runs a batch where its configuration says, with a bar or lines on stderr. */
export async function runWithProgress(
  settings: BatchSettings,
  io: Io,
  command: string,
  options: BatchOptions,
  also?: (event: BatchEvent) => void,
): Promise<BatchReport> {
  const { clock } = io
  const job = batchJob(settings, io.cwd)
  requireService(settings, io.env)
  requireApart(await realPlaces(job), job.plain !== undefined)
  const shown = progress({ clock, quiet: io.quiet, tty: io.tty, write: io.progress })
  let totalBytes = 0
  let totalFiles = 0
  try {
    return await withOutside(settings, job, io, command, (outside) =>
      runBatch(
        job,
        {
          ...outside,
          onEvent(event) {
            also?.(event)
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
      ),
    )
  } finally {
    shown.end()
  }
}

/** What a run works with, until it is over. */
async function withOutside<T>(
  settings: BatchSettings,
  job: BatchJob,
  io: Io,
  command: string,
  run: (outside: BatchOutside) => Promise<T>,
): Promise<T> {
  const { env, cwd, clock, random, signal } = io
  const { aws, close } = lazyAws(env)
  const places = { env, clock, random, uuid: randomUUID, signal, aws }
  try {
    const catalog = await jobCatalog(settings, job.warehouse, places)
    // Threads open storages by themselves, and have no part in what a catalog hands out.
    const vended = settings.output.catalog.access === 'vended'
    return await run({
      storage: jobStorage(job, places, vended ? catalog.storage : undefined),
      catalog,
      connect: () =>
        connectService(settings, { env, cwd, clock, random, randomBytes, aws, say: (note) => io.note(note) }),
      clock,
      random,
      uuid: randomUUID,
      runId: runId(clock.wall()),
      createdBy: `pseudolake version ${version()}`,
      command,
      usage,
      threads: { most: vended ? 1 : availableParallelism() },
      signal,
    })
  } finally {
    await close()
  }
}

/** Where the job really reads and writes: links may lead from one into the other. */
async function realPlaces(job: BatchJob): Promise<Places> {
  const { input, state } = job
  const base = fixedPart(input)
  const output = placeOf(job)
  return {
    input: `${await realPath(base)}${base === input ? '' : `/${input.slice(base.length)}`}`,
    output: output && (await realPath(output)),
    state: await realPath(state),
  }
}

/** What a person reads after a run. */
export function summary(report: BatchReport): string {
  const { rows, files, service } = report
  if (report.status === 'nothing-to-do')
    return `nothing to do: all ${count(report.skipped_files)} inputs of ${report.job} are in ${report.table} already\n${report.location}\n`
  const lines = [
    ...gateText(report.gate),
    ...(report.status === 'gate-failed' ? ['nothing of the step that failed was published'] : []),
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
    ...(report.table === report.location ? [] : [`table ${report.table}, snapshot ${report.snapshot_id}`]),
    `${report.location}`,
  ]
  return `${lines.join('\n')}\n`
}

function seconds(s: number): string {
  return s < 10
    ? `${s.toFixed(2)} s`
    : s < 90
      ? `${s.toFixed(1)} s`
      : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`
}

async function readList(file: string, io: Io): Promise<string[]> {
  const text = await readText(file, io, 'options/invalid', '--inputs-from: cannot read')
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => storageLocation(absolute(io.cwd, line)))
}

function timeOf(text: string): number {
  // Without a zone a time means another moment on every machine.
  const time = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new PseudolakeError(
    'options/invalid',
    '--modified-since: expected a date, or a time with its zone such as 2026-01-31T00:00:00Z',
    { option: 'modified-since' },
  )
}

function atLeastOne(n: number): number {
  if (n >= 1) return n
  throw new PseudolakeError('options/invalid', '--max-files: expected an integer from 1', { option: 'max-files' })
}
