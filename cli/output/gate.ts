import type { GateReport } from '../../pipelines/batch/gate/check.ts'
import { count } from './text.ts'

/** What a person reads of the gate: a line when all is well, what is wrong otherwise. */
export function gateText({ passed, checks }: GateReport): string[] {
  const looked = checks.filter(({ coverage }) => coverage !== 'none')
  const partly = looked.filter(({ coverage }) => coverage === 'part').map(({ name }) => name)
  if (passed) {
    if (looked.length === 0) return []
    return [`gate: ${looked.length} checks passed${partly.length > 0 ? ` (in part: ${partly.join(', ')})` : ''}`]
  }
  return checks
    .filter((check) => !check.passed)
    .flatMap(({ name, what, failed, findings }) => [
      `gate: ${name} failed (${what})`,
      ...findings.map(
        ({ location, column, row_group: rowGroup, message }) =>
          `  ${location}${column === undefined ? '' : `, column ${column}`}${rowGroup === undefined ? '' : `, row group ${rowGroup}`}: ${message}`,
      ),
      ...(failed > findings.length ? [`  and ${count(failed - findings.length)} more`] : []),
    ])
}
