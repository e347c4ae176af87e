/** Rows and nulls: what plan and footers say of them. Pure. */
import type { RewritePlan } from '../../../lib/parquet/plan.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Finding } from './check.ts'

/** What a footer says. */
export interface Counted {
  readonly rows: number
  readonly leaves: readonly Pick<LeafNode, 'maxDefinitionLevel'>[]
  readonly rowGroups: readonly {
    readonly rows: number
    readonly columns: readonly { readonly values: number; readonly statistics?: { readonly nulls?: number } }[]
  }[]
}

type Planned = Pick<RewritePlan, 'rows' | 'rowGroups' | 'columns'>

/** Every row group of the plan is in the output with its rows, and every column with the values of its source. */
export function checkRows(plan: Planned, input: Counted, output: Counted): Finding[] {
  const findings: Finding[] = []
  const expect = (what: string, found: number, expected: number, place: Omit<Finding, 'message'> = {}) => {
    if (found !== expected) findings.push({ ...place, message: `${found} ${what}, expected ${expected}` })
  }
  expect('rows planned', plan.rows, input.rows)
  expect('rows', output.rows, input.rows)
  expect('row groups', output.rowGroups.length, plan.rowGroups.length)
  expect('columns', output.leaves.length, plan.columns.length)
  for (const [i, { index, rows }] of plan.rowGroups.entries()) {
    const written = output.rowGroups[i]
    const source = input.rowGroups[index]
    if (!written || !source) continue
    expect('rows planned', rows, source.rows, { rowGroup: i })
    expect('rows', written.rows, source.rows, { rowGroup: i })
    for (const [c, column] of plan.columns.entries()) {
      const values = column.source ? source.columns[column.source.column]?.values : source.rows
      expect('values', written.columns[c]?.values ?? 0, values ?? 0, { column: column.leaf.path, rowGroup: i })
    }
  }
  return findings
}

/**
 * As many nulls as the source has; where a rule makes some values null, not fewer.
 * @returns also how many chunks were compared, and how many could not be, because a footer does not say
 */
export function checkNulls(
  plan: Planned,
  input: Counted,
  output: Counted,
): { findings: Finding[]; compared: number; unsaid: number } {
  const findings: Finding[] = []
  let compared = 0
  let unsaid = 0
  for (const [i, { index, rows }] of plan.rowGroups.entries())
    for (const [c, { leaf, source, constant, nullable, replaced }] of plan.columns.entries()) {
      const found = nulls(output.rowGroups[i]?.columns[c], output.leaves[c])
      const before = source
        ? nulls(input.rowGroups[index]?.columns[source.column], input.leaves[source.column])
        : (constant ?? null) === null
          ? rows
          : 0
      // Writers do not agree on whether an empty list counts as a null.
      const agreed = !replaced || leaf.maxRepetitionLevel === 0
      if (found === undefined || before === undefined || !agreed) {
        unsaid++
        continue
      }
      compared++
      if (found === before || (nullable && found > before)) continue
      findings.push({ column: leaf.path, rowGroup: i, message: `${found} nulls, expected ${before}` })
    }
  return { findings, compared, unsaid }
}

function nulls(
  chunk: Counted['rowGroups'][number]['columns'][number] | undefined,
  leaf: Counted['leaves'][number] | undefined,
): number | undefined {
  if (leaf?.maxDefinitionLevel === 0) return 0
  return chunk?.statistics?.nulls
}
