/** Rows by their position in a file. */
export class Positions {
  readonly #bits: Uint8Array
  readonly #rows: number
  count = 0

  constructor(rows: number) {
    this.#rows = rows
    this.#bits = new Uint8Array(Math.ceil(rows / 8))
  }

  /** What is beyond the file deletes nothing. */
  add(row: number): void {
    if (row < 0 || row >= this.#rows || this.has(row)) return
    this.#bits[row >> 3] = (this.#bits[row >> 3] as number) | (1 << (row & 7))
    this.count++
  }

  has(row: number): boolean {
    return (((this.#bits[row >> 3] as number) >> (row & 7)) & 1) === 1
  }
}
