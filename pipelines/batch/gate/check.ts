/** What the gate finds: a check has counts of what it looked at, says how much that is, and lists what is wrong. Names and numbers, never values. */
import { columnName } from '../../../lib/parquet/place.ts'

/** In the order of the report. */
export const CHECKS = {
  readable: 'each file is read back from its storage, and is whole',
  rows: 'rows, row groups and values are those of plan and input',
  nulls: 'nulls are those of the input, by both footers',
  byte_ranges: 'each byte was made here, or is a copy out of an unprotected column, or of positions in a dictionary',
  copied_bytes: 'what was copied is in the file as it was in the input',
  handed_bytes: 'what was looked at before it was in the storage is in it as it was',
  headers: 'no statistics of replaced columns, and nothing unknown, in footer and page headers',
  pseudonyms: 'replaced columns hold well-formed pseudonyms, the empty string and null only',
  one_to_one: 'cell by cell: one pseudonym for each value, and one value for each pseudonym',
  originals: 'values of replaced columns, 6 characters and longer, are not in copied ones',
  round_trip: 'a sample of the pseudonyms, turned back by the service, gives the values',
} as const
export type CheckName = keyof typeof CHECKS

/** What is wrong, and where. */
export interface Finding {
  readonly column?: readonly string[]
  readonly rowGroup?: number
  readonly message: string
}

export interface GateFinding {
  readonly location: string
  readonly column?: string
  readonly row_group?: number
  readonly message: string
}

export interface GateCheck {
  readonly name: CheckName
  readonly what: string
  readonly passed: boolean
  /** `all` of what there is was looked at, `part` of it, or `none`. */
  readonly coverage: 'all' | 'part' | 'none'
  /** Why not all. */
  readonly notes: readonly string[]
  /** What was looked at. */
  readonly counts: Readonly<Record<string, number>>
  /** How much is wrong; the first of it is listed. */
  readonly failed: number
  readonly findings: readonly GateFinding[]
}

export interface GateReport {
  readonly passed: boolean
  readonly checks: readonly GateCheck[]
}

const LISTED = 10

/** What a tally of another thread has counted. */
export interface TallyPart {
  readonly counts: Readonly<Record<string, number>>
  readonly notes: readonly string[]
  readonly findings: readonly GateFinding[]
  readonly failed: number
  readonly looked: boolean
  readonly partly: boolean
}

/** One check over the whole run. */
export class Tally {
  readonly #name: CheckName
  #counts: Record<string, number> = {}
  #notes = new Set<string>()
  #findings: GateFinding[] = []
  #failed = 0
  #looked = false
  #partly = false

  constructor(name: CheckName) {
    this.#name = name
  }

  get failed(): number {
    return this.#failed
  }

  /** @param counts of what was looked at; added up */
  looked(counts: Readonly<Record<string, number>>): void {
    this.#looked = true
    this.know(counts)
  }

  /** Counts that are worth telling, though they are not what was looked at. */
  know(counts: Readonly<Record<string, number>>): void {
    for (const name in counts) this.#counts[name] = (this.#counts[name] ?? 0) + (counts[name] as number)
  }

  /** Something was not looked at. */
  missed(why: string): void {
    this.#partly = true
    this.#notes.add(why)
  }

  fail(location: string, findings: readonly Finding[]): void {
    this.#failed += findings.length
    for (const { column, rowGroup, message } of findings.slice(0, LISTED - this.#findings.length))
      this.#findings.push({
        location,
        ...(column && { column: columnName(column) }),
        ...(rowGroup !== undefined && { row_group: rowGroup }),
        message,
      })
  }

  /** What was counted since the last time; it is counted here no more. */
  take(): TallyPart {
    const part = {
      counts: this.#counts,
      notes: [...this.#notes],
      findings: this.#findings,
      failed: this.#failed,
      looked: this.#looked,
      partly: this.#partly,
    }
    this.#counts = {}
    this.#notes = new Set()
    this.#findings = []
    this.#failed = 0
    this.#looked = false
    this.#partly = false
    return part
  }

  add(part: TallyPart): void {
    this.know(part.counts)
    for (const note of part.notes) this.#notes.add(note)
    this.#findings.push(...part.findings.slice(0, LISTED - this.#findings.length))
    this.#failed += part.failed
    this.#looked ||= part.looked
    this.#partly ||= part.partly
  }

  result(): GateCheck {
    return {
      name: this.#name,
      what: CHECKS[this.#name],
      passed: this.#failed === 0,
      coverage: !this.#looked ? 'none' : this.#partly ? 'part' : 'all',
      notes: [...this.#notes],
      counts: { ...this.#counts },
      failed: this.#failed,
      findings: this.#findings.slice(),
    }
  }
}
