/** What a run says once, whenever and however often it is the case. */
import type { StreamEvent } from './report.ts'

/** Names of fields that are told apart. */
const MOST_FIELDS = 1000

export class Notes {
  readonly #tell: (event: StreamEvent) => void
  readonly #notes = new Set<string>()
  readonly #ignored = new Set<string>()

  constructor(tell: (event: StreamEvent) => void) {
    this.#tell = tell
  }

  note(message: string): void {
    if (this.#notes.has(message)) return
    this.#notes.add(message)
    this.#tell({ event: 'note', message })
  }

  /** A field of a record is in no schema. */
  ignored(field: string): void {
    if (this.#ignored.size < MOST_FIELDS) this.#ignored.add(field)
  }

  get ignoredFields(): number {
    return this.#ignored.size
  }

  /** For the report. @param forgotten keys that had to make room for others */
  all(forgotten: number): readonly string[] {
    const notes = [...this.#notes]
    if (this.#ignored.size > 0)
      notes.push(
        `${this.#ignored.size === MOST_FIELDS ? 'at least ' : ''}${this.#ignored.size} fields of records are not in the schema, and were ignored`,
      )
    if (forgotten > 0)
      notes.push(`${forgotten} keys were forgotten before their time, as limits.memory_mb has no room for more`)
    return notes
  }
}
