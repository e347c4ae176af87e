/** What a run has published, added up: a million files must not be remembered one by one to be counted. Pure. */
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import type { InputFile } from './inputs.ts'

/** An input that was rewritten, and the data files that came of it; none of one without rows. */
export interface Written {
  readonly input: InputFile
  readonly rows: number
  readonly files: readonly DataFile[]
}

/** Files that a report names. */
const SHOWN = 100

type Counted = 'valueCounts' | 'nullCounts' | 'columnSizes'

export class Totals {
  readonly shown: Written[] = []
  files = 0
  rows = 0
  bytesIn = 0
  bytesOut = 0
  /** By field id; undefined where a file does not say. */
  readonly #counts = new Map<string, number | undefined>()
  #dataFiles = 0

  add(written: readonly Written[]): void {
    for (const one of written) {
      if (this.shown.length < SHOWN) this.shown.push(one)
      this.files++
      this.rows += one.rows
      this.bytesIn += one.input.object.bytes
      for (const file of one.files) this.#addFile(file)
    }
  }

  /** Of all data files, or undefined where one of them does not say. */
  sum(counted: Counted, fieldId: number): number | undefined {
    return this.#counts.get(`${counted}\0${fieldId}`)
  }

  #addFile(file: DataFile): void {
    this.bytesOut += file.bytes
    const ids = new Set([...(file.columnSizes?.keys() ?? [])])
    for (const counted of ['valueCounts', 'nullCounts', 'columnSizes'] as const) {
      for (const id of ids) {
        const key = `${counted}\0${id}`
        const before = this.#dataFiles === 0 ? 0 : this.#counts.get(key)
        const here = file[counted]?.get(id)
        this.#counts.set(key, before === undefined || here === undefined ? undefined : before + here)
      }
    }
    this.#dataFiles++
  }
}
