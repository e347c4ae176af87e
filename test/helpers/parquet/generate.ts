/** A file by chance with what is known of it, and what its rewriting must give: by the rows it was made from, decoded by nobody. */

import type { Treatment } from '../../../lib/parquet/index.ts'
import { pseudonym, REPLACE, type Row, type RunOptions } from '../../parquet/helpers.ts'
import { type FileOptions, parquetFile } from './file.ts'
import { Random } from './random.ts'
import {
  type Fate,
  type Leaf,
  leavesOf,
  type Mapped,
  type Node,
  type Raw,
  Schemas,
  shred,
  type Tree,
} from './schema.ts'
import { type TestType, TYPES } from './types.ts'

export interface Case {
  readonly seed: number
  readonly bytes: Uint8Array
  readonly nodes: readonly Node[]
  readonly leaves: readonly Leaf[]
  readonly treatments: Readonly<Record<string, Treatment>>
  readonly options: RunOptions
  /** Rows of the output. */
  readonly expected: readonly Row[]
  /** Texts of each leaf, each once, without empty ones. */
  readonly texts: ReadonlyMap<Leaf, ReadonlySet<string>>
}

export interface CaseOptions extends FileOptions {
  readonly fates?: readonly Fate[]
  readonly types?: readonly TestType[]
  readonly columns?: number
  readonly depth?: number
  readonly rows?: number
}

/** Null for some texts, as with `null_values`. */
export function gone(text: string): string | null {
  return /[37]$/.test(text) ? null : pseudonym(text)
}

const FATES: readonly (readonly Fate[])[] = [
  ['copy'],
  ['copy', 'deterministic'],
  ['copy', 'deterministic', 'random', 'nullable'],
  ['deterministic', 'random', 'nullable'],
]

export function generate(seed: number, options: CaseOptions = {}): Case {
  const random = new Random(seed)
  const fates = options.fates ?? random.pick(FATES)
  const schemas = new Schemas(random, fates, options.types ?? TYPES)
  const nodes = schemas.columns(options.columns ?? random.between(1, 5), options.depth)
  const groups = Array.from({ length: random.between(1, 3) }, () => {
    const rows = options.rows ?? (random.once(8) ? 0 : random.between(1, random.once(4) ? 300 : 40))
    return Array.from(
      { length: rows },
      () => Object.fromEntries(nodes.map((node) => [node.spec.name, node.value()])) as Record<string, Tree>,
    )
  })
  const specs = nodes.map((node) => node.spec)
  const leaves = leavesOf(specs)
  const bytes = parquetFile(specs, groups, random, options)

  const emptyIsNull = random.once(2)
  const treatments = Object.fromEntries(
    leaves.map(({ path, spec: { fate } }): [string, Treatment] => {
      const treatment = { ...REPLACE, perCell: fate === 'random', nullable: fate === 'nullable' }
      if (fate === 'nullable') return [path.join('.'), { ...treatment, emptyIsNull }]
      return [path.join('.'), fate === 'copy' ? { kind: 'copy' } : treatment]
    }),
  )
  const nullable = new Set(leaves.flatMap(({ path, spec }) => (spec.fate === 'nullable' ? [path.join('.')] : [])))
  const mapped: Mapped = ({ fate }, text) => {
    if (fate === 'copy') return text
    if (text === '') return fate === 'nullable' && emptyIsNull ? null : ''
    return fate === 'nullable' ? gone(text) : pseudonym(text)
  }
  const rows = groups.flat()
  const expected = rows.map((row) =>
    Object.fromEntries(nodes.map((node) => [node.spec.name, node.expected(row[node.spec.name] as Tree, mapped)])),
  )
  const columns = shred(specs, rows)
  const texts = new Map(
    leaves.map((leaf, i) => {
      const all = (columns[i]?.values ?? []).map((value: Raw) => leaf.spec.type.text(value))
      return [leaf, new Set(all.filter((text) => text !== ''))] as const
    }),
  )
  return {
    seed,
    bytes,
    nodes,
    leaves,
    treatments,
    texts,
    expected,
    options: {
      replace: async ({ path }, asked) => asked.map(nullable.has(path.join('.')) ? gone : pseudonym),
      // So that what leaked could be seen.
      ...(random.once(2) && { codec: 'none' as const }),
    },
  }
}

/** A reader's rows in the form of `expected`. */
export function shownBy(of: Case, rows: readonly Row[]): Row[] {
  return rows.map((row) =>
    Object.fromEntries(of.nodes.map((node) => [node.spec.name, node.shown(row[node.spec.name])])),
  )
}
