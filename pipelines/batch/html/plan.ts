/** A plan beside what came of it. Pure. */
import type { Quality } from '../plan/distinct.ts'
import type { Compared, PlanAgainstActual } from '../report.ts'
import { bytes, count, money, seconds } from './format.ts'
import { html, type Markup } from './markup.ts'

export function planTables(plan: PlanAgainstActual): Markup {
  const rows: [string, Compared & { readonly quality?: Quality }, (n: number) => string][] = [
    ['Files', plan.files, count],
    ['Rows', plan.rows, count],
    ['Distinct values', plan.distinct, count],
    ['Identifiers sent', plan.identifiers, count],
    ['Requests', plan.requests, count],
    ['Bytes written', plan.bytes_out, bytes],
    ['Time', plan.seconds, seconds],
  ]
  return html`<p class="soft">${BASIS[plan.basis]}</p>
<div class="wide"><table><thead><tr><th scope="col">What</th><th scope="col" class="number">Planned</th><th scope="col" class="number">Actual</th><th scope="col" class="number">Difference</th></tr></thead>
<tbody>${rows.map(
    ([name, { planned, actual, quality = 'exact' }, said]) =>
      html`<tr><th scope="row">${name}<small>${QUALITY[quality]}</small></th><td class="number">${said(planned)}</td><td class="number">${said(actual)}</td><td class="number">${difference(planned, actual)}</td></tr>
`,
  )}</tbody></table></div>
<p class="soft">Planned cost: ${money(plan.cost.planned, plan.cost.currency)}, by prices of ${plan.cost.prices_of}.</p>
${plan.columns.length > 0 ? treatments(plan.columns) : undefined}`
}

const BASIS = {
  dictionaries: 'The run was planned before it began: from footers, dictionaries and a sample of other pages.',
  footers: 'Planned from the footers of each step, before its first file was written.',
} as const

const QUALITY: Readonly<Record<Quality, string>> = {
  exact: 'counted exactly',
  estimated: 'estimated, within a few percent',
  'at-most': 'an upper bound was planned for',
  guessed: 'a guess',
}

function treatments(columns: PlanAgainstActual['columns']): Markup {
  const rows = columns.map(
    ({ column, chunks, cells, nulls }) => html`<tr><th scope="row"><bdi>${column}</bdi></th>
<td>${chunks.length === 0 ? 'left out' : chunks.map(({ action, why, chunks: n }) => html`<div>${count(n)} × ${action.replaceAll('-', ' ')}<small>${why}</small></div>`)}</td>${[cells.planned, cells.actual, nulls.planned, nulls.actual].map(cell)}</tr>
`,
  )
  return html`<h3>How the chunks of each column were to be treated</h3>
<div class="wide"><table><thead><tr><th scope="col">Column</th><th scope="col">Chunks</th><th scope="col" class="number">Cells planned</th><th scope="col" class="number">Cells actual</th><th scope="col" class="number">Nulls planned</th><th scope="col" class="number">Nulls actual</th></tr></thead><tbody>${rows}</tbody></table></div>`
}

function difference(planned: number, actual: number): string {
  if (planned === actual) return 'none'
  if (planned === 0) return 'not planned'
  const percent = (100 * (actual - planned)) / planned
  return `${percent > 0 ? '+' : '−'}${Math.abs(percent) < 10 ? Math.abs(percent).toFixed(1) : count(Math.abs(percent))} %`
}

function cell(value: number | null): Markup {
  return html`<td class="number">${value === null ? '' : count(value)}</td>`
}
