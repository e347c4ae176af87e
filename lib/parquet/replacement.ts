/** What takes the place of a column's values, asked for once for each value as long as a table can remember it. */
import { isAscii } from 'node:buffer'
import { PseudolakeError } from '../core/errors.ts'
import { guarded, type Place } from './place.ts'
import { plainWidth, valuesOf } from './plain.ts'
import type { LeafNode } from './schema.ts'
import type { Tables } from './tables.ts'
import { canonicalTexts, MAX_TEXT_BYTES } from './text.ts'
import type { ValueTable } from './value-table.ts'

/**
 * Maps texts of a column, never null or empty ones; equal ones once per call, unless every cell stands alone.
 * @returns one for each, same order; null only where the treatment says `nullable`
 */
export type Replace = (
  column: LeafNode,
  texts: readonly string[],
  where: { readonly rowGroup: number },
) => Promise<readonly (string | null)[]>

export interface ReplacementOptions {
  readonly leaf: LeafNode
  readonly replace: Replace
  readonly nullable?: boolean
  /** The empty string becomes null. */
  readonly emptyIsNull?: boolean
  /** How many texts fill a request: `ask` sends multiples. @default 900 */
  readonly fullRequest?: number
}

/** Not for mode random, which gives each cell its own. Calls come one at a time. */
export class Replacement {
  readonly #options: ReplacementOptions
  readonly #tables: Tables
  readonly #width: number
  readonly #fullRequest: number
  /** Different bytes are different texts. */
  readonly #unlike: boolean
  #table: ValueTable
  /** Of the table, at which it is this column's. */
  #generation: number
  /** Values of the table that no text was made of yet begin here. */
  #textsTo = 0
  #gathered = 0
  #waiting: { readonly slot: number; readonly text: string }[] = []
  #rowGroup = 0
  readonly #open = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(options: ReplacementOptions, tables: Tables) {
    this.#options = options
    this.#tables = tables
    this.#width = plainWidth(options.leaf)
    this.#fullRequest = options.fullRequest ?? 900
    const { physical, logical } = options.leaf
    this.#unlike = physical === 'BYTE_ARRAY' && logical?.type !== 'decimal'
    this.#table = tables.take()
    this.#generation = this.#table.generation
  }

  /** Numbers mean something only in the generation they are from. */
  get generation(): number {
    return this.#table.generation
  }

  /** Whether the table has what it may have. */
  get full(): boolean {
    return this.#owned && this.#table.bytes > this.#tables.maxBytes
  }

  get #owned(): boolean {
    return this.#table.generation === this.#generation
  }

  /** Whether it is full of values that are not waited for: what was gathered is used before others come. */
  get overfull(): boolean {
    return this.full && this.#table.size > this.#gathered
  }

  /** What is in the table now was looked up for the rewriting that follows. */
  gathered(): void {
    this.#gathered = this.#table.size
  }

  /**
   * Numbers of values, a piece at a time, each valid until the next. Nothing is asked yet.
   * @param plain in PLAIN encoding (plain.ts)
   * @throws PseudolakeError `input/corrupt`, `input/value-invalid`, `input/unsupported`
   */
  *look(
    plain: Uint8Array,
    count: number,
    place: Place,
  ): Generator<{ readonly slots: Int32Array; readonly bytes: number }> {
    this.#rowGroup = place.rowGroup ?? 0
    this.#own()
    for (let done = 0, at = 0; done < count; ) {
      const found = guarded(place, 'the page', () => this.#table.find(plain.subarray(at), count - done, this.#width))
      if (this.#table.size > this.#textsTo) this.#makeTexts(found.slots, done, place)
      at += found.bytes
      done += found.count
      yield found
    }
  }

  /** Another column may have been given the table. */
  #own(): void {
    if (this.#owned) this.#tables.touch(this.#table)
    else this.#begin(this.#tables.take())
  }

  #begin(table: ValueTable): void {
    this.#table = table
    this.#generation = table.generation
    this.#textsTo = 0
    this.#gathered = 0
    this.#waiting = []
  }

  /** All of them, as their own. @returns also how many bytes they were */
  lookAll(plain: Uint8Array, count: number, place: Place): { readonly slots: Int32Array; readonly bytes: number } {
    const slots = new Int32Array(count)
    let done = 0
    let bytes = 0
    for (const piece of this.look(plain, count, place)) {
      slots.set(piece.slots, done)
      done += piece.slots.length
      bytes += piece.bytes
    }
    return { slots, bytes }
  }

  #makeTexts(slots: Int32Array, before: number, place: Place): void {
    const { emptyIsNull } = this.#options
    const first = this.#textsTo
    const texts = this.#asciiTexts() ?? this.#texts(slots, before, place)
    for (const [i, text] of texts.entries()) {
      if (text === '') this.#table.set(first + i, emptyIsNull ? null : '')
      else this.#waiting.push({ slot: first + i, text })
    }
    this.#textsTo = this.#table.size
  }

  /** Most identifiers are ASCII: one string is made of all and cut. */
  #asciiTexts(): string[] | undefined {
    const { physical, logical } = this.#options.leaf
    if (physical !== 'BYTE_ARRAY' || (logical && logical.type !== 'string')) return undefined
    const keys = this.#table.keysFrom(this.#textsTo)
    if (!keys || !isAscii(keys.bytes) || keys.lengths.some((length) => length > MAX_TEXT_BYTES)) return undefined
    const all = keys.bytes.toString('latin1')
    let at = 0
    return Array.from(keys.lengths, (length) => {
      at += length
      return all.slice(at - length, at)
    })
  }

  #texts(slots: Int32Array, before: number, place: Place): string[] {
    const { leaf } = this.#options
    const first = this.#textsTo
    const keys: Uint8Array[] = []
    for (let slot = first; slot < this.#table.size; slot++) keys.push(this.#table.key(slot))
    const positionOf = (i: number) => before + slots.indexOf(first + i)
    return canonicalTexts(valuesOf(keys, leaf), leaf, place, 0, keys.length, positionOf)
  }

  /** Asks for as many as fill whole requests, and does not wait for them. @param least so many must have come together */
  ask(least = this.#fullRequest): void {
    if (this.#failure || this.#waiting.length < Math.max(least, this.#fullRequest)) return
    const whole = this.#waiting.length - (this.#waiting.length % this.#fullRequest)
    const asked = this.#waiting.slice(0, whole)
    this.#waiting = this.#waiting.slice(whole)
    const answer = this.#send(asked)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => this.#open.delete(answer))
    this.#open.add(answer)
  }

  /** Requests that have not been answered. */
  get asking(): number {
    return this.#open.size
  }

  /** Waits for one of them. */
  async one(): Promise<void> {
    await Promise.race(this.#open)
    this.#throwFailure()
  }

  /**
   * Asks for the rest and waits for all: every value has its replacement then.
   * @throws what `replace` throws; PseudolakeError `internal/bug` where it answers less than it was asked for
   */
  async settle(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open)
    this.#throwFailure()
    const rest = this.#waiting
    this.#waiting = []
    if (rest.length === 0) return
    try {
      await this.#send(rest)
    } catch (error) {
      this.#failure = { error }
      this.#throwFailure()
    }
  }

  /** What was looked up and got no answer must not be found in the table again. */
  #throwFailure(): void {
    if (!this.#failure) return
    const { error } = this.#failure
    this.#failure = undefined
    this.#forget()
    throw error
  }

  async #send(asked: readonly { readonly slot: number; readonly text: string }[]): Promise<void> {
    const { leaf, replace, nullable } = this.#options
    const generation = this.#generation
    const { texts, positions } = this.#unlike ? { texts: asked.map(({ text }) => text) } : distinct(asked)
    const answers = await replace(leaf, texts, { rowGroup: this.#rowGroup })
    if (generation !== this.#table.generation) return
    // Fails closed: a value that got no answer must not be taken for one that has none.
    if (answers.length !== texts.length)
      throw new PseudolakeError('internal/bug', 'replace answered another number of values')
    for (const answer of answers)
      if (typeof answer !== 'string' && !(answer === null && nullable))
        throw new PseudolakeError('internal/bug', 'replace answered something that is no string')
    for (const [i, { slot }] of asked.entries())
      this.#table.set(slot, answers[positions ? (positions[i] as number) : i] as string | null)
  }

  /**
   * Empties a table that has more than it may; what it knew is asked for when it comes again. Only after `settle`.
   * @param forGathering empties it where there is no room to gather
   */
  makeRoom(forGathering = false): void {
    if (!(forGathering ? this.full : this.overfull)) return
    this.#tables.emptied++
    this.#forget()
  }

  /** A table that is another's by now is not touched: the next look takes one. */
  #forget(): void {
    if (this.#owned) {
      this.#table.clear()
      this.#begin(this.#table)
    } else this.#waiting = []
  }

  sizeOf(slots: Int32Array): number {
    return this.#table.sizeOf(slots)
  }

  emit(slots: Int32Array, into: Uint8Array, at?: number): number {
    return this.#table.emit(slots, into, at)
  }

  emitLiterals(slots: Int32Array): { readonly page: Uint8Array; readonly bytes: number } | undefined {
    return this.#table.emitLiterals(slots)
  }

  isNull(slot: number): boolean {
    return this.#table.isNull(slot)
  }

  lengthOf(slot: number): number {
    return this.#table.lengthOf(slot)
  }
}

/** Different bytes can be one text: decimals with and without leading zeros. */
function distinct(asked: readonly { readonly text: string }[]): { texts: string[]; positions: Int32Array } {
  const known = new Map<string, number>()
  const positions = new Int32Array(asked.length)
  const texts: string[] = []
  for (const [i, { text }] of asked.entries()) {
    let position = known.get(text)
    if (position === undefined) {
      position = texts.length
      known.set(text, position)
      texts.push(text)
    }
    positions[i] = position
  }
  return { texts, positions }
}
