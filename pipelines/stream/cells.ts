/** Columns in the making: the cells of records, in the form that a row group takes them in (lib/parquet/text-group.ts). */
import type { HeldColumn } from '../../lib/parquet/text-group.ts'

const FIRST_BYTES = 1 << 14
const FIRST_CELLS = 1 << 10

/**
 * One leaf's cells, by their Dremel levels. `begin` and `undo` make a record all or nothing: what is wrong with it may show in its last field.
 */
export class Cells {
  readonly #isText: boolean
  readonly #repeated: boolean
  readonly #width: number
  /** What the values that are present are: their bytes. */
  #plain: Buffer
  #view: DataView
  #at = 0
  #definition: Uint8Array
  #repetition: Uint8Array
  #count = 0
  #present = 0
  #longest = 0
  #begunAt = 0
  #begunCount = 0
  #begunPresent = 0

  /** @param width bytes of a value; 0 for texts, which have a length in front */
  constructor(width: number, repeated: boolean) {
    this.#isText = width === 0
    this.#width = width
    this.#repeated = repeated
    this.#plain = Buffer.allocUnsafeSlow(FIRST_BYTES)
    this.#view = new DataView(this.#plain.buffer)
    this.#definition = new Uint8Array(FIRST_CELLS)
    this.#repetition = new Uint8Array(repeated ? FIRST_CELLS : 0)
  }

  /** That are held. */
  get bytes(): number {
    return this.#at + 2 * this.#count
  }

  begin(): void {
    this.#begunAt = this.#at
    this.#begunCount = this.#count
    this.#begunPresent = this.#present
  }

  undo(): void {
    this.#at = this.#begunAt
    this.#count = this.#begunCount
    this.#present = this.#begunPresent
  }

  /** A place without a value. @param definition how far the path to it is there */
  none(definition: number, repetition: number): void {
    if (this.#count === this.#definition.length) this.#more()
    if (this.#repeated) this.#repetition[this.#count] = repetition
    this.#definition[this.#count++] = definition
  }

  /** @returns bytes of the text */
  text(value: string, definition: number, repetition: number): number {
    this.none(definition, repetition)
    const most = 3 * value.length + 4
    if (this.#at + most > this.#plain.length) this.#room(most)
    const length = this.#plain.write(value, this.#at + 4, 'utf8')
    this.#view.setUint32(this.#at, length, true)
    this.#at += 4 + length
    this.#present++
    if (length > this.#longest) this.#longest = length
    return length
  }

  int(value: number, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    this.#view.setInt32(at, value, true)
  }

  long(value: bigint, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    this.#view.setBigInt64(at, value, true)
  }

  float(value: number, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    this.#view.setFloat32(at, value, true)
  }

  double(value: number, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    this.#view.setFloat64(at, value, true)
  }

  boolean(value: boolean, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    this.#view.setUint8(at, Number(value))
  }

  /** A number in two's complement, big-endian, over the whole width. */
  wide(value: bigint, definition: number, repetition: number): void {
    const at = this.#value(definition, repetition)
    let rest = value
    for (let i = this.#width - 1; i >= 0; i--) {
      this.#view.setUint8(at + i, Number(rest & 0xffn))
      rest >>= 8n
    }
  }

  /** The cells until now, for as long as no more are put; the next ones begin anew. */
  take(): HeldColumn {
    const definition = this.#definition.subarray(0, this.#count)
    const column = {
      plain: this.#plain.subarray(0, this.#at),
      present: this.#present,
      definition,
      ...(this.#repeated && { repetition: this.#repetition.subarray(0, this.#count) }),
      ...(this.#isText && { longest: this.#longest }),
    }
    this.#at = 0
    this.#count = 0
    this.#present = 0
    this.#longest = 0
    return column
  }

  /** Where a value goes: in a larger buffer, perhaps, with a view of its own. */
  #value(definition: number, repetition: number): number {
    this.none(definition, repetition)
    if (this.#at + this.#width > this.#plain.length) this.#room(this.#width)
    const at = this.#at
    this.#at += this.#width
    this.#present++
    return at
  }

  #room(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#plain.length, this.#at + bytes))
    this.#plain.copy(larger, 0, 0, this.#at)
    this.#plain = larger
    this.#view = new DataView(larger.buffer)
  }

  #more(): void {
    this.#definition = doubled(this.#definition)
    if (this.#repeated) this.#repetition = doubled(this.#repetition)
  }
}

function doubled(levels: Uint8Array): Uint8Array {
  const larger = new Uint8Array(2 * levels.length)
  larger.set(levels)
  return larger
}
