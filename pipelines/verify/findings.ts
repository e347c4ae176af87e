/** What a verification finds: each with a kind that scripts can match on, a place, and never a value. Pure. */

/** Every kind of finding with what it means; docs/verify.md explains them. */
export const FINDING_KINDS = {
  'missing-file': 'A file that the table names is not there.',
  'size-differs': 'A file has another size than the table, or the list that names it, says.',
  'checksum-differs': 'A file is not the one that the checksum file beside it is for; looked at with --full.',
  unreadable: 'A metadata, manifest or data file cannot be read as its format says.',
  'manifest-counts': 'A manifest holds other numbers of files or rows than its list says.',
  'summary-counts': 'A snapshot’s totals are not those of its manifests.',
  'listed-twice': 'The current snapshot has a data file more than once, so its rows count double.',
  'row-count': 'A data file has another number of rows than its manifest says.',
  'column-counts': 'A column’s counts of values or nulls differ between manifest, footer and, with --full, pages.',
  statistics: 'The footer or column index of a data file holds values of a replaced column in its statistics.',
  'page-statistics': 'A page header of a replaced column holds statistics.',
  'bloom-filter': 'A replaced column has a bloom filter, by which identifiers could be tried.',
  'key-value-metadata': 'A data file carries key-value metadata that no known writer needs.',
  'unknown-field': 'A file that pseudolake wrote has a footer or page-header field that pseudolake does not write.',
  'unreferenced-bytes': 'A file that pseudolake wrote has bytes that no column, page or footer accounts for.',
  bounds: 'A manifest has lower or upper bounds of a replaced column.',
  'not-a-pseudonym': 'A replaced column holds a value that is neither null, empty nor a well-formed pseudonym.',
  pin: 'A column’s pin, or what the table was approved for, cannot be read or is about no column of the table.',
  'metrics-mode': 'Other writers are not told to keep a replaced column’s values out of bounds.',
  mark: 'A job’s mark cannot be read, or is not the one that it was committed with.',
  ledger: 'A job’s ledger is gone, damaged, or not the one that its mark names.',
  'rolled-back': 'The table was rolled back behind a job’s mark.',
  'ledger-file-gone': 'A data file that a ledger names is not in the table, and no snapshot says that it was removed.',
  positions: 'A stream’s epochs or positions went back, and nobody has set them.',
  quarantine:
    'A stream’s quarantine has not what its mark names: a list or a sealed object is gone, changed or miscounted.',
  'seen-keys': 'The keys that a stream has seen (dedupe) are gone, or not those that its mark names.',
  orphan: 'A file that nothing reaches lies under the table’s or the ledgers’ folder.',
} as const

export type FindingKind = keyof typeof FINDING_KINDS

export interface Finding {
  readonly kind: FindingKind
  /** File or property. */
  readonly location: string
  readonly message: string
  readonly column?: string
  readonly row_group?: number
  /** Pages of the chunk, the dictionary included, from 0. */
  readonly page?: number
  /** Of an orphan. */
  readonly bytes?: number
  /** Of an orphan: younger than three days, so a run may be about to publish it. */
  readonly maybe_in_flight?: boolean
}

/** Findings of one kind that are kept; of a table that is broken throughout, the first thousand tell as much as all. */
const KEPT = 1000
/** Orphans are for removing, so more of them are worth having. */
const KEPT_ORPHANS = 10_000

export class Findings {
  readonly #kept: Finding[] = []
  readonly #counts = new Map<FindingKind, number>()
  #serious = 0

  add(finding: Finding): void {
    const count = (this.#counts.get(finding.kind) ?? 0) + 1
    this.#counts.set(finding.kind, count)
    if (finding.maybe_in_flight !== true) this.#serious++
    if (count <= (finding.kind === 'orphan' ? KEPT_ORPHANS : KEPT)) this.#kept.push(finding)
  }

  /** Whether any of them needs a look: orphans that a run may be about to publish do not. */
  get needsLook(): boolean {
    return this.#serious > 0
  }

  get count(): number {
    return [...this.#counts.values()].reduce((sum, n) => sum + n, 0)
  }

  get counts(): Readonly<Partial<Record<FindingKind, number>>> {
    return Object.fromEntries(this.#counts)
  }

  /** In a stable order, whatever was checked at the same time. */
  get kept(): readonly Finding[] {
    const kinds = Object.keys(FINDING_KINDS)
    return [...this.#kept].sort(
      (a, b) =>
        kinds.indexOf(a.kind) - kinds.indexOf(b.kind) ||
        compare(a.location, b.location) ||
        (a.row_group ?? -1) - (b.row_group ?? -1) ||
        compare(a.column ?? '', b.column ?? '') ||
        (a.page ?? -1) - (b.page ?? -1),
    )
  }

  /** Findings that are counted and not kept. */
  get leftOut(): number {
    return this.count - this.#kept.length
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
