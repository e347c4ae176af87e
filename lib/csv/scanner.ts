/**
 * Takes records apart, column by column, into what Parquet calls PLAIN: each value with its length in front, four bytes, little-endian.
 * A field never becomes a string here, and a record is in memory once.
 *
 * The grammar is RFC 4180 with what departs from it: any of LF, CR LF and CR ends a record; a quote inside a field that did not begin with
 * one is an ordinary character. An empty field is null, a quoted empty one the empty string.
 */
import { PseudolakeError } from '../core/errors.ts'

/** A record of more is no record: a quote was opened and never closed. */
export const MAX_RECORD_BYTES = 16 << 20
/** Rows of a batch. */
export const MAX_BATCH_ROWS = 1 << 17

const LF = 0x0a
const CR = 0x0d
const NO_QUOTE = -1
const FIRST_BUFFER_BYTES = 1 << 16
const FIRST_COLUMN_BYTES = 1 << 12
const FIRST_ROWS = 1 << 10
/** Shorter fields are copied byte by byte: a call costs more. */
const SHORT = 32

/** A column of a batch; valid until the next batch is asked for. */
export interface CsvColumn {
  /** Values that are not null, in PLAIN encoding. */
  readonly plain: Uint8Array
  readonly present: number
  /** 1 for each row that has a value. */
  readonly definition: Uint8Array
  /** Bytes of the longest value. */
  readonly longest: number
}

export interface CsvBatch {
  readonly rows: number
  /** Rows in front of it. */
  readonly firstRow: number
  readonly columns: readonly CsvColumn[]
}

interface Column {
  plain: Uint8Array<ArrayBuffer>
  /** Bytes of `plain` that are used. */
  used: number
  /** Where its value of the last record begins. */
  last: number
  nulls: number
  longest: number
  definition: Uint8Array<ArrayBuffer>
}

export interface ScannerOptions {
  readonly delimiter: string
  readonly quote: string
  /** For messages. */
  readonly location: string
}

export class Scanner {
  readonly #location: string
  readonly #delimiter: number
  readonly #quote: number
  /** What ends a field without quotes. */
  readonly #ends = new Uint8Array(256)
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES)
  #from = 0
  #end = 0
  #columns: Column[] = []
  /** Undefined until the first record says how many there are. */
  #width: number | undefined
  #rows = 0
  #rowsBefore = 0
  /** Records that are no rows: a header. */
  #skipped = 0
  #line = 1
  /** Fields of the unfinished record that are whole. */
  #fields = 0

  constructor({ delimiter, quote, location }: ScannerOptions) {
    this.#location = location
    this.#delimiter = delimiter.charCodeAt(0)
    this.#quote = quote === '' ? NO_QUOTE : quote.charCodeAt(0)
    for (const byte of [this.#delimiter, LF, CR]) this.#ends[byte] = 1
  }

  /** How many columns there are, once a record was seen. */
  get width(): number | undefined {
    return this.#width
  }

  /** Rows that are ready. */
  get rows(): number {
    return this.#rows
  }

  /** Bytes that wait for the end of their record. */
  get waiting(): number {
    return this.#end - this.#from
  }

  /** @throws PseudolakeError `input/unsupported` for a record that is too long */
  append(bytes: Uint8Array): void {
    if (this.waiting > MAX_RECORD_BYTES)
      throw this.#failure(
        'input/unsupported',
        `a record of more than ${MAX_RECORD_BYTES >> 20} MiB; perhaps a quote is opened there and not closed`,
      )
    if (this.#from > 0) {
      this.#buffer.copyWithin(0, this.#from, this.#end)
      this.#end -= this.#from
      this.#from = 0
    }
    // One byte more for a sentinel.
    if (this.#end + bytes.length + 1 > this.#buffer.length)
      this.#buffer = longer(this.#buffer, this.#end + bytes.length + 1)
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** What was scanned. The columns' memory is used again afterwards. */
  take(): CsvBatch {
    const batch = {
      rows: this.#rows,
      firstRow: this.#rowsBefore,
      columns: this.#columns.map(({ plain, used, nulls, definition, longest }) => ({
        plain: plain.subarray(0, used),
        present: this.#rows - nulls,
        definition: definition.subarray(0, this.#rows),
        longest,
      })),
    }
    this.#rowsBefore += this.#rows
    this.#rows = 0
    return batch
  }

  /** Before the next scan: what `take` gave is not needed any more. */
  reset(): void {
    for (const column of this.#columns) {
      if (column.nulls > 0) column.definition.fill(1)
      column.used = 0
      column.nulls = 0
      column.longest = 0
    }
  }

  /** The one record that was scanned, as texts, null for empty ones; it is no row then. */
  takeHeader(): (string | null)[] {
    const { columns } = this.take()
    this.#rowsBefore = 0
    this.#skipped = 1
    const texts = columns.map(({ plain, present }) =>
      present === 0 ? null : Buffer.from(plain.buffer, plain.byteOffset + 4, plain.length - 4).toString(),
    )
    this.reset()
    return texts
  }

  /**
   * Takes apart what is whole.
   * @param final nothing follows: the last record needs no end of line
   * @param most rows in all
   * @throws PseudolakeError `input/corrupt` for a record with more or fewer fields than the first, or a quote that is not where it may be
   */
  scan(final: boolean, most = MAX_BATCH_ROWS): void {
    const buffer = this.#buffer
    const end = this.#end
    const ends = this.#ends
    const quote = this.#quote
    const delimiter = this.#delimiter
    buffer[end] = LF
    let at = this.#from
    while (at < end && this.#rows < most) {
      const start = at
      const first = buffer[at] as number
      // In a file of one column an empty line is a row; elsewhere it is nothing.
      if ((first === LF || first === CR) && this.#width !== 1) {
        at++
        if (first === CR && at === end && !final) {
          at = start
          break
        }
        if (first === CR && at < end && buffer[at] === LF) at++
        this.#line++
        this.#from = at
        continue
      }
      let fields = 0
      let lines = 1
      let whole = true
      for (;;) {
        let stop: number
        if (buffer[at] === quote && at < end) {
          let doubled = 0
          stop = at + 1
          for (;;) {
            while (buffer[stop] !== quote && stop < end) if (buffer[stop++] === LF) lines++
            if (stop >= end || (stop + 1 === end && !final)) break
            if (buffer[stop + 1] !== quote || stop + 1 === end) break
            doubled++
            stop += 2
          }
          if (stop >= end || (stop + 1 === end && !final)) {
            if (final) throw this.#failure('input/corrupt', 'a quote is opened and not closed', fields)
            whole = false
            break
          }
          this.#quoted(fields++, at + 1, stop, doubled)
          at = stop + 1
          if (ends[buffer[at] as number] === 0)
            throw this.#failure('input/corrupt', 'something follows a closing quote', fields - 1)
        } else {
          stop = at
          while (ends[buffer[stop] as number] === 0) stop++
          if (stop >= end && !final) {
            whole = false
            break
          }
          this.#plain(fields++, at, stop)
          at = stop
        }
        if (at < end && buffer[at] === delimiter) {
          at++
          continue
        }
        break
      }
      if (whole && at < end) {
        // A CR at the end of the buffer may be half of an end of line.
        if (buffer[at] === CR && at + 1 === end && !final) whole = false
        else at += buffer[at] === CR && buffer[at + 1] === LF && at + 1 < end ? 2 : 1
      }
      if (!whole) {
        this.#undo(fields)
        break
      }
      this.#width ??= fields
      if (fields < this.#width)
        throw this.#failure('input/corrupt', `${fields} fields, where the first record has ${this.#width}`)
      this.#rows++
      this.#line += lines
      this.#from = at
    }
  }

  /** What comes next is not of the file's encoding. */
  invalidText(encoding: string): PseudolakeError {
    return this.#failure('input/value-invalid', `not valid ${encoding}`, this.#fields)
  }

  #plain(field: number, from: number, to: number): void {
    const column = this.#column(field)
    const length = to - from
    if (length === 0) {
      this.#null(column)
      return
    }
    let at = this.#begin(column, length)
    const { plain } = column
    const buffer = this.#buffer
    if (length < SHORT) for (let i = from; i < to; i++) plain[at++] = buffer[i] as number
    else plain.set(buffer.subarray(from, to), at)
  }

  #quoted(field: number, from: number, to: number, doubled: number): void {
    const column = this.#column(field)
    const length = to - from - doubled
    let at = this.#begin(column, length)
    const { plain } = column
    const buffer = this.#buffer
    if (doubled === 0) plain.set(buffer.subarray(from, to), at)
    else
      for (let i = from; i < to; i++) {
        const byte = buffer[i] as number
        plain[at++] = byte
        if (byte === this.#quote) i++
      }
  }

  /** @returns where the bytes of a value go */
  #begin(column: Column, length: number): number {
    const at = column.used
    if (at + 4 + length > column.plain.length) column.plain = longer(column.plain, at + 4 + length)
    const { plain } = column
    plain[at] = length
    plain[at + 1] = length >> 8
    plain[at + 2] = length >> 16
    plain[at + 3] = length >> 24
    column.last = at
    column.used = at + 4 + length
    if (length > column.longest) column.longest = length
    return at + 4
  }

  #null(column: Column): void {
    column.last = column.used
    column.nulls++
    if (this.#rows >= column.definition.length) lengthen(column, this.#rows + 1)
    column.definition[this.#rows] = 0
  }

  #column(field: number): Column {
    const known = this.#columns[field]
    if (known) {
      if (this.#rows >= known.definition.length) lengthen(known, this.#rows + 1)
      return known
    }
    if (this.#width !== undefined)
      throw this.#failure('input/corrupt', `more than ${this.#width} fields, which the first record has`)
    const column = {
      plain: new Uint8Array(FIRST_COLUMN_BYTES),
      used: 0,
      last: 0,
      nulls: 0,
      longest: 0,
      definition: new Uint8Array(FIRST_ROWS).fill(1),
    }
    this.#columns.push(column)
    return column
  }

  /** Takes back the fields of a record that is not whole yet. */
  #undo(fields: number): void {
    this.#fields = fields
    for (let i = 0; i < fields; i++) {
      const column = this.#columns[i] as Column
      column.used = column.last
      if (column.definition[this.#rows] === 1) continue
      column.definition[this.#rows] = 1
      column.nulls--
    }
    if (this.#width === undefined) this.#columns = []
  }

  #failure(
    code: 'input/corrupt' | 'input/unsupported' | 'input/value-invalid',
    what: string,
    field?: number,
  ): PseudolakeError {
    const record = this.#rowsBefore + this.#rows + this.#skipped + 1
    const column = field === undefined ? '' : `, column ${field + 1}`
    return new PseudolakeError(code, `${this.#location}: record ${record} (line ${this.#line})${column}: ${what}`, {
      location: this.#location,
      record,
      line: this.#line,
      ...(field !== undefined && { index: field + 1 }),
    })
  }
}

function longer(bytes: Uint8Array<ArrayBuffer>, least: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.max(least, 2 * bytes.length))
  out.set(bytes)
  return out
}

function lengthen(column: Column, least: number): void {
  const { definition } = column
  const out = new Uint8Array(Math.max(least, 2 * definition.length)).fill(1)
  out.set(definition)
  column.definition = out
}
