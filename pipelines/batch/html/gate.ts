/** Any document of checks as tables and lists: what a gate says of itself grows, and the page shows all of it. Pure. */
import { count } from './format.ts'
import { html, type Markup } from './markup.ts'

/** Deeper than any gate's document; beyond it JSON is shown. */
const MOST_DEPTH = 5
/** Rows of one table. */
const MOST_ROWS = 200

export function documentOf(value: unknown, depth = 0): Markup {
  if (!isObject(value)) return html`${scalar(value)}`
  if (depth >= MOST_DEPTH) return html`<code>${JSON.stringify(value)}</code>`
  if (Array.isArray(value)) return list(value, depth)
  const entries = Object.entries(value)
  if (entries.length === 0) return html`none`
  return html`<dl class="pairs">${entries.map(
    ([name, inner]) => html`<dt>${words(name)}</dt><dd>${documentOf(inner, depth + 1)}</dd>`,
  )}</dl>`
}

function list(values: readonly unknown[], depth: number): Markup {
  if (values.length === 0) return html`none`
  const rows = values.slice(0, MOST_ROWS)
  const rest =
    values.length > rows.length ? html`<p class="soft">and ${count(values.length - rows.length)} more</p>` : undefined
  const objects = rows.filter((row) => isObject(row) && !Array.isArray(row)) as Record<string, unknown>[]
  if (objects.length < rows.length)
    return html`<ul>${rows.map((row) => html`<li>${documentOf(row, depth + 1)}</li>`)}</ul>${rest}`
  const names = [...new Set(objects.flatMap((row) => Object.keys(row)))]
  return html`<div class="wide"><table><thead><tr>${names.map((name) => html`<th scope="col">${words(name)}</th>`)}</tr></thead>
<tbody>${objects.map((row) => html`<tr>${names.map((name) => html`<td>${documentOf(row[name], depth + 1)}</td>`)}</tr>`)}</tbody></table></div>${rest}`
}

function scalar(value: unknown): string {
  if (value === undefined) return ''
  if (value === null) return 'none'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number') return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)))
  return String(value)
}

function words(name: string): string {
  return name.replaceAll('_', ' ')
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
