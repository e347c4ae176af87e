/** What the gate looked at and found. Pure. */
import type { GateCheck, GateReport } from '../gate/check.ts'
import { count } from './format.ts'
import { html, type Markup } from './markup.ts'

const COVERAGE: Readonly<Record<GateCheck['coverage'], string>> = {
  all: 'all of it',
  part: 'a part',
  none: 'nothing',
}

export function gateTable(gate: GateReport): Markup {
  const rows = gate.checks.map(
    ({
      name,
      what,
      passed,
      coverage,
      notes,
      counts,
      failed,
    }) => html`<tr><th scope="row">${words(name)}<small>${what}</small></th>
<td>${result(passed, coverage)}</td><td>${COVERAGE[coverage]}${notes.map((note) => html`<small>${note}</small>`)}</td>
<td>${Object.entries(counts).map(([of, n]) => html`<div class="count">${number(n)} ${n === 1 ? one(words(of)) : words(of)}</div>`)}</td><td class="number">${count(failed)}</td></tr>
`,
  )
  const findings = gate.checks.flatMap((check) => check.findings.map((finding) => ({ ...finding, name: check.name })))
  return html`<p class="soft">Each file was looked at before it was published; a check that fails publishes nothing of its step.</p>
<div class="wide"><table class="gate"><thead><tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Looked at</th><th scope="col">Counts</th><th scope="col" class="number">Wrong</th></tr></thead><tbody>${rows}</tbody></table></div>
${findings.length > 0 ? html`<h3>What is wrong</h3><ul>${findings.map(finding)}</ul>` : undefined}`
}

function result(passed: boolean, coverage: GateCheck['coverage']): Markup {
  if (!passed) return html`<span class="bad">✗ failed</span>`
  return coverage === 'none' ? html`<span class="soft">not made</span>` : html`<span class="good">✓ passed</span>`
}

function finding(found: { readonly name: string } & GateCheck['findings'][number]): Markup {
  const where = [
    found.column === undefined ? '' : `column ${found.column}`,
    found.row_group === undefined ? '' : `row group ${found.row_group}`,
  ].filter(Boolean)
  return html`<li>${words(found.name)}: ${found.message}<small><span class="id">${found.location}</span>${where.map((part) => `, ${part}`)}</small></li>`
}

function number(n: number): string {
  return Number.isInteger(n) ? count(n) : String(Number(n.toPrecision(3)))
}

function words(name: string): string {
  return name.replaceAll('_', ' ')
}

/** The names of counts are plurals. */
function one(plural: string): string {
  return plural.replace(/ies$/, 'y').replace(/(?<=ch)es$|(?<!s)s$/, '')
}
