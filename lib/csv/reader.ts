/** A CSV file as batches of columns: its header first, then as much at a time as a few megabytes hold. */
import { PseudolakeError } from '../core/errors.ts'
import { type Utf8Piece, utf8Pieces } from './decode.ts'
import type { CsvDialect } from './dialect.ts'
import { type CsvBatch, MAX_BATCH_ROWS, Scanner } from './scanner.ts'

/** Bytes that are scanned at a time, at least; a record that is longer waits until it has doubled. */
const SCAN_BYTES = 1 << 20

export interface CsvReaderOptions {
  readonly dialect: CsvDialect
  /** For messages. */
  readonly location: string
}

export class CsvReader {
  /** Undefined for a file without a byte but blank lines: it has no columns and no rows. */
  names: readonly string[] | undefined
  readonly #scanner: Scanner
  readonly #options: CsvReaderOptions
  readonly #pieces: AsyncGenerator<Utf8Piece>
  #ended = false
  #invalid = false

  private constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, options: CsvReaderOptions) {
    const { dialect, location } = options
    this.#options = options
    this.#scanner = new Scanner({ delimiter: dialect.delimiter, quote: dialect.quote, location })
    this.#pieces = utf8Pieces(chunks, dialect.encoding)
  }

  /**
   * Reads the first record.
   * @throws PseudolakeError `input/corrupt`, `input/unsupported` (two columns of one name, a record that is too long),
   *   `input/value-invalid` (not of the encoding), and what reading `chunks` throws
   */
  static async open(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: CsvReaderOptions,
  ): Promise<CsvReader> {
    const reader = new CsvReader(chunks, options)
    try {
      await reader.#readHeader()
      return reader
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /** Of at most `MAX_BATCH_ROWS` rows, each valid until the next. @throws PseudolakeError as `open` */
  async *batches(): AsyncGenerator<CsvBatch> {
    try {
      if (this.names === undefined) return
      for (;;) {
        this.#scanner.scan(this.#ended)
        const full = this.#scanner.rows === MAX_BATCH_ROWS
        if (full || (this.#scanner.rows > 0 && (this.#ended || this.#invalid))) {
          yield this.#scanner.take()
          this.#scanner.reset()
          continue
        }
        if (this.#invalid) throw this.#scanner.invalidText(this.#options.dialect.encoding)
        if (this.#ended) return
        if (this.#scanner.rows > 0) {
          yield this.#scanner.take()
          this.#scanner.reset()
        }
        await this.#fill()
      }
    } finally {
      await this.close()
    }
  }

  async close(): Promise<void> {
    await this.#pieces.return(undefined)
  }

  async #readHeader(): Promise<void> {
    const { dialect, location } = this.#options
    const scanner = this.#scanner
    while (scanner.width === undefined) {
      // Data in the place of names is a row that stays.
      scanner.scan(this.#ended, 1)
      if (scanner.width !== undefined) break
      if (this.#invalid) throw scanner.invalidText(dialect.encoding)
      if (this.#ended) return
      await this.#fill()
    }
    const { header } = dialect
    const given = header === true ? scanner.takeHeader() : Array.isArray(header) ? header : unnamed(scanner.width)
    if (given.length !== scanner.width)
      throw new PseudolakeError(
        'input/mixed-schemas',
        `${location}: ${scanner.width} columns, where the configuration names ${given.length}`,
        { location, columns: scanner.width, named: given.length },
      )
    this.names = namesOf(given, location)
  }

  async #fill(): Promise<void> {
    const least = Math.max(SCAN_BYTES, this.#scanner.waiting)
    let bytes = 0
    while (bytes < least && !this.#ended && !this.#invalid) {
      const { value, done } = await this.#pieces.next()
      if (done) this.#ended = true
      else {
        this.#scanner.append(value.bytes)
        bytes += value.bytes.length
        if (value.invalid) this.#invalid = true
      }
    }
  }
}

function unnamed(width: number): (string | null)[] {
  return Array.from({ length: width }, () => null)
}

/** What stands in the first record may be data, where a file has no header: names are told by their place. */
function namesOf(given: readonly (string | null)[], location: string): string[] {
  // As Spark calls a column without a name; pandas writes its index so.
  const names = given.map((name, i) => (name === null || name === '' ? `_c${i}` : name))
  const places = new Map<string, number>()
  for (const [i, name] of names.entries()) {
    const before = places.get(name)
    if (before !== undefined)
      throw new PseudolakeError(
        'input/unsupported',
        `${location}: columns ${before + 1} and ${i + 1} have one name in the header`,
        { location, columns: [before + 1, i + 1], hint: 'Rename one of them, or give names by input.csv.header.' },
      )
    if (/\p{Cc}/u.test(name))
      throw new PseudolakeError(
        'input/unsupported',
        `${location}: the name of column ${i + 1} holds a control character; is input.csv.encoding right?`,
        { location, column: i + 1 },
      )
    places.set(name, i)
  }
  return names
}
