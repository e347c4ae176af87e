/**
 * A run as one page, to be read by somebody who was not there: what ran, what it read and wrote, what it was planned to do. One file that
 * fetches nothing, so that it reads the same in ten years. Counts, names and ids; no value of a column.
 */

import { withoutFolderValues } from '../details.ts'
import type { BatchReport } from '../report.ts'
import { bytes, count, seconds } from './format.ts'
import { gateTable } from './gate.ts'
import { html, Markup } from './markup.ts'
import { planTables } from './plan.ts'
import { type Pictures, pictures } from './plot.ts'
import { STYLE } from './style.ts'

export interface ReportFailure {
  readonly code: string
  readonly message: string
  readonly outcome: string
  readonly hint: string
  readonly retryable: boolean
}

/** @param failure of a run that ended with an error; the report is what it had done until then */
export async function reportPage(report: BatchReport, failure?: ReportFailure): Promise<string> {
  const draw = await pictures()
  const body = html`
<header>
<h1>${report.job} ${status(report, failure)}</h1>
<p class="soft">Batch run <span class="id">${report.run_id}</span> into table ${report.table}, started ${report.started.replace('T', ' ').replace(/\..*$/, '')} UTC</p>
</header>
${failure && failed(report, failure)}
${tiles(report)}
${ran(report)}
${columns(report, draw)}
${report.plan && section('plan', 'Plan against actual', planTables(report.plan), 'long')}
${report.gate.checks.some(({ coverage }) => coverage !== 'none') ? section('gate', 'Gate', gateTable(report.gate), 'long') : undefined}
${time(report, draw)}
${service(report)}
${files(report)}
${report.notes.length > 0 ? section('notes', 'Notes', html`<ul>${report.notes.map((note) => html`<li>${note}</li>`)}</ul>`) : undefined}
<footer><p>Made by ${report.version}. Holds names, counts and ids, and no value of any column. 64-bit ids are written in full.</p></footer>`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>${report.job}, run ${report.run_id}</title>
<style>${STYLE_MARKUP}${footOfPages(report)}</style>
</head>
<body><main>${body}
</main></body>
</html>
`.text
}

const STYLE_MARKUP = new Markup(STYLE)

/** Pages of paper come apart: each says which run it is of. Jobs and runs are called by letters, digits and a few signs; what else might be there is left out. */
function footOfPages({ job, run_id: run }: BatchReport): Markup {
  const name = `${job}, run ${run}`.replaceAll(/[^\w., -]/g, '')
  return new Markup(
    `@media print { @page { @bottom-left { content: "${name}"; font: 8pt system-ui, "DejaVu Sans", sans-serif; color: #444; } } }\n`,
  )
}

/** What is to be typed stands out, and its options are not taken apart at a line's end. */
function withCommands(hint: string): Markup {
  return html`${hint.split(/(pseudolake .+?)(?=; |\. |\.?$)/).map((part, i) => (i % 2 === 0 ? part : html`<code>${command(part)}</code>`))}`
}

function command(text: string): Markup {
  return html`${text.split(/( )/).map((word) => (word.startsWith('--') ? html`<span class="key">${word}</span>` : word))}`
}

function section(id: string, title: string, content: Markup, kind = ''): Markup {
  return html`<section aria-labelledby="${id}" class="${kind}"><h2 id="${id}">${title}</h2>${content}</section>
`
}

function status(report: BatchReport, failure: ReportFailure | undefined): Markup {
  if (failure) return html`<span class="status bad">failed</span>`
  const kind = { done: 'good', 'nothing-to-do': '', 'gate-failed': 'bad' }[report.status]
  return html`<span class="status ${kind}">${report.status.replaceAll('-', ' ')}</span>`
}

const OUTCOMES: Readonly<Record<string, string>> = {
  'nothing-published': 'Nothing of this run is in the table.',
  'partly-published': 'The commits listed below stand; the rest is not in the table.',
  published: 'What this run did is in the table.',
  unknown: 'Whether the last commit is in the table is not known; the next run finds out.',
}

function failed(report: BatchReport, failure: ReportFailure): Markup {
  return section(
    'failure',
    'Why it failed',
    html`<p><code>${failure.code}</code> ${withoutFolderValues(failure.message, protectedNames(report))}</p>
<p>${OUTCOMES[failure.outcome] ?? failure.outcome} ${failure.retryable ? 'It is safe to run again.' : 'It needs to be looked at before it runs again.'}</p>
<p>What to do: ${withCommands(withoutFolderValues(failure.hint, protectedNames(report)))}</p>`,
    'failed',
  )
}

/** Of no column, where the run ended before it knew them: every folder's value is left out then. */
function protectedNames({ columns }: BatchReport): readonly string[] | undefined {
  if (columns.length === 0) return undefined
  return columns.filter(({ action }) => action === 'replaced' || action === 'dropped').map(({ column }) => column)
}

function tiles(report: BatchReport): Markup {
  const { service: of } = report
  const rate = report.seconds > 0 ? report.rows / report.seconds : 0
  const all: [string, string, string?][] = [
    ['Rows published', count(report.rows), rate > 0 ? `${count(rate)} a second` : undefined],
    [
      'Files',
      count(report.files),
      report.skipped_files > 0 ? `${count(report.skipped_files)} were done before` : undefined,
    ],
    ['Distinct values', count(report.distinct), report.distinct_exact ? 'exact' : 'at most: some were sent again'],
    ['Requests', count(of.requests), of.throttled > 0 ? `${count(of.throttled)} throttled` : 'none throttled'],
    ['Read', bytes(report.bytes_in)],
    ['Written', bytes(report.bytes_out)],
    ['Time', seconds(report.seconds), `${seconds(report.cpu_seconds)} of CPU`],
    ['Memory', bytes(report.peak_rss_bytes), 'at most'],
  ].map((tile) => tile as [string, string, string?])
  return html`<section class="tiles" aria-label="Counts"><dl style="display:contents">${all.map(
    ([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}${more && html`<small>${more}</small>`}</dd></div>`,
  )}</dl></section>
`
}

function ran(report: BatchReport): Markup {
  const keys = new Map(
    report.columns.flatMap(({ key, domain }) => (key === undefined ? [] : [[`${domain} / ${key}`, key]])),
  )
  const pairs: [string, Markup | string][] = [
    ['Job', report.job],
    ['Run', html`<span class="id">${report.run_id}</span>`],
    ['Program', report.version],
    [
      'Configuration',
      html`<span class="id">${report.config_digest}</span> <span class="soft">(digest of the effective settings)</span>`,
    ],
    ['Table', report.table],
    ['Location', html`<span class="id">${report.location}</span>`],
    ['Commits', count(report.commits)],
    ['Snapshots', report.snapshots.length === 0 ? 'none by this run' : ids(report.snapshots)],
    ['Current snapshot', report.snapshot_id === null ? 'none' : html`<span class="id">${report.snapshot_id}</span>`],
    ['Keys', keys.size === 0 ? 'none named by the service' : ids([...keys.keys()])],
  ]
  return section(
    'ran',
    'What ran',
    html`<dl class="pairs">${pairs.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`,
  )
}

function ids(all: readonly string[]): Markup {
  const shown = all.slice(0, 50)
  const rest = all.length - shown.length
  return html`${shown.map((id, i) => html`${i > 0 ? ', ' : ''}<span class="id">${id}</span>`)}${rest > 0 ? ` and ${count(rest)} more` : ''}`
}

function columns(report: BatchReport, draw: Pictures): Markup | undefined {
  if (report.columns.length === 0) return undefined
  const sized = report.columns
    .flatMap(({ as, column, bytes_out: size }) => (size === undefined ? [] : [{ name: as ?? column, value: size }]))
    .sort((a, b) => b.value - a.value)
    .slice(0, 12)
  const rows = report.columns.map(
    ({
      column,
      action,
      as,
      mode,
      domain,
      key,
      cells,
      nulls,
      bytes_out: size,
    }) => html`<tr><th scope="row"><bdi>${column}</bdi></th>
<td>${action}${mode !== undefined && action === 'replaced' ? `, ${mode}` : ''}</td><td>${as === undefined ? '' : html`<bdi>${as}</bdi>`}</td>
<td>${domain ?? ''}</td><td class="id key">${key ?? ''}</td>${number(cells)}${number(nulls)}<td class="number">${size === undefined ? '' : bytes(size)}</td></tr>
`,
  )
  return section(
    'columns',
    'Columns and their approval',
    html`<p class="soft">What happens to each column of the input. The table remembers this set from its first run on: a column that is new, gone or
treated otherwise stops a later run before it writes.</p>
<div class="wide"><table><caption>Cells and nulls are those published by this run.</caption><thead><tr><th scope="col">Column</th><th scope="col">What happens</th><th scope="col">In the table</th><th scope="col">Domain</th><th scope="col">Key</th>
<th scope="col" class="number">Cells</th><th scope="col" class="number">Nulls</th><th scope="col" class="number">Bytes</th></tr></thead><tbody>${rows}</tbody></table></div>
${sized.length > 1 ? html`${figure('Bytes written by column', `the largest is ${sized[0]?.name} with ${bytes(sized[0]?.value ?? 0)}`, draw.bars(barsOf(sized, bytes, MB), { unit: 'MB' }))}` : undefined}`,
    'long',
  )
}

const MB = 2 ** 20

function barsOf(data: readonly { name: string; value: number }[], said: (n: number) => string, unit = 1) {
  return data.map(({ name, value }) => ({ name, value: value / unit, said: said(value) }))
}

function number(value: number | undefined): Markup {
  return html`<td class="number">${value === undefined ? '' : count(value)}</td>`
}

/**
 * The sentence says what the picture shows; its own parts would be read as a heap of numbers.
 * @param svg of the plot library, which escapes what it draws
 */
function figure(title: string, said: string, svg: string): Markup {
  return html`<figure role="img" aria-label="${title}: ${said}"><figcaption>${title}</figcaption><div aria-hidden="true">${new Markup(svg)}</div></figure>`
}

function time(report: BatchReport, draw: Pictures): Markup {
  const phases = report.phases.filter(({ seconds: s }) => s > 0).map(({ name, seconds: value }) => ({ name, value }))
  const longest = [...phases].sort((a, b) => b.value - a.value)[0]
  const figures: Markup[] = []
  if (longest)
    figures.push(
      figure(
        'Time by phase',
        phases.map(({ name, value }) => `${name} ${seconds(value)}`).join(', '),
        draw.bars(barsOf(phases, seconds), { unit: 'seconds' }),
      ),
    )
  const moments = [{ seconds: 0, rows: 0, bytes: 0, requests: 0 }, ...report.moments]
  const last = moments.at(-1)
  if (last && moments.length > 2) {
    const line = (title: string, y: string, of: (moment: (typeof moments)[number]) => number, stepped = false) =>
      figure(
        title,
        `from 0 to at most ${count(Math.max(...moments.map(of)))}, over ${seconds(last.seconds)}`,
        draw.line(
          moments.map((moment) => ({ x: moment.seconds, y: of(moment) })),
          { x: 'seconds', y, stepped },
        ),
      )
    figures.push(line('Rows done', 'rows', ({ rows }) => rows))
    figures.push(line('Bytes read per second', 'bytes per second', rateOf(moments), true))
    if (last.requests > 0) figures.push(line('Requests made', 'requests', ({ requests }) => requests))
  }
  return section('time', 'Time', html`<div class="pictures">${figures}</div>`, 'long')
}

function rateOf(moments: BatchReport['moments']): (moment: BatchReport['moments'][number]) => number {
  return (moment) => {
    const before = moments[moments.indexOf(moment) - 1]
    if (!before || moment.seconds <= before.seconds) return 0
    return Math.max(0, (moment.bytes - before.bytes) / (moment.seconds - before.seconds))
  }
}

function service(report: BatchReport): Markup {
  const { requests, identifiers, retries, throttled } = report.service
  const rows: [string, number][] = [
    ['Requests, the key check and retries included', requests],
    ['Identifiers in answered requests', identifiers],
    ['Retries', retries],
    ['Throttled', throttled],
    ['Distinct values, and cells of mode random', report.distinct],
  ]
  return section(
    'service',
    'Service',
    html`<table><tbody>${rows.map(([name, value]) => html`<tr><th scope="row">${name}</th>${number(value)}</tr>`)}</tbody></table>`,
  )
}

function files(report: BatchReport): Markup | undefined {
  const { published } = report
  if (published.length === 0) return undefined
  const rest = report.files - published.length
  const rows = published.map(
    ({ input, bytes_in: read, rows: n, output, bytes_out: written }) =>
      html`<tr><td class="path id">${input}</td><td class="number">${bytes(read)}</td>${number(n)}<td class="path id">${output === null ? 'none: it has no rows' : shortened(output, report.location)}</td><td class="number">${output === null ? '' : bytes(written)}</td></tr>
`,
  )
  return section(
    'files',
    'Inputs and outputs',
    html`<div class="wide"><table><caption>Outputs are below the table’s location.${rest > 0 ? ` The first ${count(published.length)} of ${count(report.files)}.` : ''}</caption>
<thead><tr><th scope="col">Input</th><th scope="col" class="number">Read</th><th scope="col" class="number">Rows</th><th scope="col">Output</th><th scope="col" class="number">Written</th></tr></thead><tbody>${rows}</tbody></table></div>`,
    'long',
  )
}

function shortened(path: string, location: string): string {
  return path.startsWith(`${location}/`) ? path.slice(location.length + 1) : path
}
