/** How far the files of a run are, several at a time. Pure. */
export interface Done {
  readonly rows: number
  readonly bytes: number
}

export class StepProgress {
  #rows = 0
  #bytes = 0
  #files = 0
  readonly #underWay = new Map<number, Done>()

  /** Of a file that is being worked on. */
  update(file: number, done: Done): void {
    this.#underWay.set(file, done)
  }

  end(file: number, done: Done): void {
    this.#underWay.delete(file)
    this.#rows += done.rows
    this.#bytes += done.bytes
    this.#files++
  }

  get all(): Done & { readonly files: number } {
    let [rows, bytes] = [this.#rows, this.#bytes]
    for (const done of this.#underWay.values()) {
      rows += done.rows
      bytes += done.bytes
    }
    return { rows, bytes, files: this.#files }
  }
}
