/** What takes the place of a column's values, asked for once for each value as long as a table can remember it. */

import { firstPlaces } from '../core/text-engine.ts'
import { discard, pickTexts, type TextBatch } from '../core/texts.ts'
import { guarded, type Place } from './place.ts'
import { plainWidth, valuesOf } from './plain.ts'
import { Window } from './ranges.ts'
import { checkReplaced, type ReplaceBytes } from './replace.ts'
import type { LeafNode } from './schema.ts'
import type { Tables } from './tables.ts'
import { areTexts, bytesAreTexts, canonicalBatch } from './text.ts'
import type { EmittedPage, Found, PageLook, ValueTable } from './value-table.ts'
import { type Asked, Waiting } from './waiting.ts'

export interface ReplacementOptions {
  readonly leaf: LeafNode
  readonly replace: ReplaceBytes
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
  /** Their bytes are their texts, and different bytes are different texts. */
  readonly #texts: boolean
  /** Different bytes are different texts, whatever their type. */
  readonly #unlike: boolean
  #table: ValueTable
  /** Of the table, at which it is this column's. */
  #generation: number
  /** Values of the table that no text was made of yet begin here. */
  #textsTo = 0
  #gathered = 0
  readonly #waiting = new Waiting()
  #rowGroup = 0
  readonly #emitted = new Window()
  readonly #open = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(options: ReplacementOptions, tables: Tables) {
    this.#options = options
    this.#tables = tables
    this.#width = plainWidth(options.leaf)
    this.#fullRequest = options.fullRequest ?? 900
    const { physical, logical } = options.leaf
    this.#texts = bytesAreTexts(options.leaf)
    this.#unlike = physical === 'BYTE_ARRAY' && logical?.type !== 'decimal'
    this.#table = tables.take()
    this.#generation = this.#table.generation
  }

  /** Numbers mean something only in the generation they are from. */
  get generation(): number {
    return this.#table.generation
  }

  /** Values that have a number. */
  get size(): number {
    return this.#table.size
  }

  /** Whether the table has what it may have. */
  get full(): boolean {
    return this.#owned && this.#table.isFull(this.#tables.maxBytes)
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
   * @param printed where prints are wanted too
   * @throws PseudolakeError `input/corrupt`, `input/value-invalid`, `input/unsupported`
   */
  *look(plain: Uint8Array, count: number, place: Place, printed = false): Generator<Found> {
    this.#rowGroup = place.rowGroup ?? 0
    this.#own()
    for (let done = 0, at = 0; done < count; ) {
      const found = guarded(place, 'the page', () =>
        this.#table.find(plain.subarray(at), count - done, this.#width, printed),
      )
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
    this.#waiting.clear()
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
    const first = this.#textsTo
    const texts = this.#bytesAsTexts(first) ?? this.#canonical(first, slots, before, place)
    this.#waiting.add(this.#withoutEmpty(texts, first))
    this.#textsTo = this.#table.size
  }

  /** The texts of values that are texts; undefined where they are not, or one of them can't be one. */
  #bytesAsTexts(first: number): TextBatch | undefined {
    const texts = this.#texts ? this.#table.textsFrom(first) : undefined
    return texts && areTexts(texts) ? texts : undefined
  }

  /** Texts of values of any type. @throws PseudolakeError that says which value has none */
  #canonical(first: number, slots: Int32Array, before: number, place: Place): TextBatch {
    const { leaf } = this.#options
    const keys: Uint8Array[] = []
    for (let slot = first; slot < this.#table.size; slot++) keys.push(this.#table.key(slot))
    const positionOf = (i: number) => before + slots.indexOf(first + i)
    return canonicalBatch(valuesOf(keys, leaf), leaf, place, 0, keys.length, positionOf)
  }

  /** The empty string is not asked for: it stays, or is null where the treatment says so. */
  #withoutEmpty(texts: TextBatch, first: number): Asked {
    const { offsets } = texts
    const slots = new Int32Array(offsets.length - 1)
    let count = 0
    for (let i = 0; i < slots.length; i++) {
      if (offsets[i] === offsets[i + 1]) this.#table.set(first + i, this.#options.emptyIsNull ? null : '')
      else slots[count++] = first + i
    }
    if (count === slots.length) return { texts, slots }
    const kept = slots.subarray(0, count)
    return {
      texts: pickTexts(
        texts,
        kept.map((slot) => slot - first),
      ),
      slots: kept,
    }
  }

  /**
   * Asks for as many as fill whole requests, and does not wait for them.
   * @param least so many must have come together
   * @param most no more are asked for, so that what is under way can be bounded
   * @returns whether there were so many
   */
  ask(least = this.#fullRequest, most = Number.MAX_SAFE_INTEGER): boolean {
    const full = this.#fullRequest
    const count = Math.min(this.#waiting.count, Math.max(most, full))
    if (this.#failure || count < Math.max(least, full)) return false
    const answer = this.#send(this.#waiting.take(count - (count % full)))
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => this.#open.delete(answer))
    this.#open.add(answer)
    return true
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
    if (this.#waiting.count === 0) return
    try {
      await this.#send(this.#waiting.take(this.#waiting.count))
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

  async #send({ texts, slots }: Asked): Promise<void> {
    const { leaf, replace, nullable = false } = this.#options
    const generation = this.#generation
    const equal = this.#unlike ? undefined : distinct(texts)
    const asked = equal?.texts ?? texts
    const answers = await replace(leaf, asked, { rowGroup: this.#rowGroup })
    if (generation !== this.#table.generation) return
    checkReplaced(answers, asked.offsets.length - 1, nullable)
    this.#table.setTexts(slots, answers, equal?.places)
    discard(answers.bytes)
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
    } else this.#waiting.clear()
  }

  sizeOf(slots: Int32Array): number {
    return this.#table.sizeOf(slots)
  }

  emit(slots: Int32Array, into: Uint8Array, at?: number): number {
    return this.#table.emit(slots, into, at)
  }

  /** What `emit` writes, in memory that is used again: valid until the next call. */
  emitted(slots: Int32Array): Uint8Array {
    const size = this.sizeOf(slots)
    const room = this.#emitted.room(size)
    this.emit(slots, room)
    return room.subarray(0, size)
  }

  emitPage(slots: Int32Array, looked?: PageLook): EmittedPage | undefined {
    return this.#table.emitPage(slots, looked)
  }

  isNull(slot: number): boolean {
    return this.#table.isNull(slot)
  }

  lengthOf(slot: number): number {
    return this.#table.lengthOf(slot)
  }
}

/** Different bytes can be one text: decimals with and without leading zeros. @returns for each text its place among the different ones */
function distinct(texts: TextBatch): { texts: TextBatch; places: Int32Array } {
  const places = firstPlaces(texts)
  const kept: number[] = []
  for (let i = 0; i < places.length; i++) {
    if (places[i] === i) places[i] = kept.push(i) - 1
    else places[i] = places[places[i] as number] as number
  }
  return { texts: kept.length === places.length ? texts : pickTexts(texts, kept), places }
}
