/** A plan as people read it. Pure. */
import type { Quality } from '../../pipelines/batch/plan/distinct.ts'
import type { BatchPlan, PlannedColumn } from '../../pipelines/batch/plan/document.ts'
import { bytes, count, table } from './text.ts'

export function planText(plan: BatchPlan): string {
  const { service, creates, cost } = plan
  if (plan.status === 'nothing-to-do')
    return `nothing to do: all ${count(plan.skipped_files)} inputs of ${plan.job} are in ${plan.table} already\n${notes(plan)}nothing was written\n`
  const lines = [
    `plan of ${plan.job}: ${count(plan.rows)} rows of ${files(plan.files)}, ${bytes(plan.bytes_in)}, in ${count(plan.steps)} ${plan.steps === 1 ? 'commit' : 'commits'}` +
      `${plan.skipped_files > 0 ? `; ${count(plan.skipped_files)} files are done` : ''}`,
    '',
    table(['column', 'becomes', 'type', 'chunks', 'cells', 'nulls', 'distinct'], plan.columns.map(columnRow)).trimEnd(),
    '',
    ...plan.columns.flatMap(({ column, merged }) =>
      merged
        ? [
            `normalization merges ${some(merged.values, merged.quality)} distinct values of ${printable(column)} with others`,
          ]
        : [],
    ),
    `distinct values to send: ${some(plan.distinct.quality === 'at-most' ? plan.distinct.at_most : plan.distinct.values, plan.distinct.quality)}`,
    `requests: ${count(service.requests)}, ${service.key_checks} of them for the key check (${KEY_CHECK[service.key_check]}); ` +
      `${bytes(service.request_bytes)} there, at most ${bytes(service.response_bytes)} back`,
    `output: about ${bytes(plan.bytes_out)} in ${files(creates.data_files)}`,
    `creates: ${created(plan)}`,
    `time: about ${duration(plan.seconds)}`,
    `cost: ${about(money(cost.total, cost.currency))} (prices of ${cost.date}: ${printable(cost.source)})`,
    ...cost.items.map(
      ({ name, quantity, unit, amount, monthly }) =>
        `  ${name}: ${quantity < 10 ? Number(quantity.toPrecision(3)) : count(Math.round(quantity))} ${unit}, ${money(amount, cost.currency)}${monthly ? ' a month' : ''}`,
    ),
    plan.table === plan.location ? `files in ${plan.location}` : `table ${plan.table}, ${plan.location}`,
  ]
  return `${lines.join('\n')}\n${notes(plan)}nothing was written\n`
}

const KEY_CHECK = {
  passed: 'passed now',
  'not-reached': 'the service was not reached',
  'not-asked': 'not made',
} as const

function columnRow(column: PlannedColumn): (string | number | null)[] {
  const { action, as, mode, type, chunks, cells, nulls, distinct } = column
  const becomes = [action, mode === 'drop' ? undefined : mode, as && as !== column.column ? `as ${as}` : undefined]
  const treated = chunks.map(({ action: how, chunks: n }) => `${count(n)} ${how}`).join(', ')
  return [
    column.column,
    becomes.filter(Boolean).join(' '),
    type ?? '',
    treated,
    count(cells),
    nulls === null ? 'not said' : count(nulls),
    distinct ? some(distinct.quality === 'at-most' ? distinct.at_most : distinct.values, distinct.quality) : '',
  ]
}

function some(values: number, quality: Quality): string {
  return `${{ exact: '', estimated: 'about ', 'at-most': 'at most ', guessed: 'perhaps ' }[quality]}${count(values)}`
}

function created({ creates, table: name }: BatchPlan): string {
  const parts = [
    creates.database ? `the folder of database ${name.split('.')[0]}` : '',
    creates.table ? `table ${name} with ${count(creates.columns.length)} columns` : '',
    `${count(creates.snapshots)} ${creates.snapshots === 1 ? 'snapshot' : 'snapshots'}`,
    files(creates.data_files, 'data '),
    creates.properties.length > 0 ? `table properties ${creates.properties.map(printable).join(', ')}` : '',
  ]
  return parts.filter(Boolean).join('; ')
}

function notes(plan: BatchPlan): string {
  return plan.notes.map((note) => `note: ${note}\n`).join('')
}

function files(n: number, kind = ''): string {
  return `${count(n)} ${kind}${n === 1 ? 'file' : 'files'}`
}

export function duration(s: number): string {
  if (s < 1) return 'less than a second'
  if (s < 90) return `${Math.round(s)} s`
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`
}

function about(text: string): string {
  return text.startsWith('less') ? text : `about ${text}`
}

function money(amount: number, currency: string): string {
  if (amount > 0 && amount < 0.0001) return `less than ${currency} 0.0001`
  return `${currency} ${amount === 0 || amount >= 0.01 ? amount.toFixed(2) : amount.toPrecision(2)}`
}

/** Names come from files: what a terminal would obey must go. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '·')
}
