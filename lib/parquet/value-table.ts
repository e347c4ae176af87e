/**
 * The values of a column that were seen, by their bytes in PLAIN encoding, each with a number and, once it is known, with what takes its
 * place: ready to be written, so that a value that comes again costs one look-up and one copy, and is no string ever.
 */
import { randomBytes } from 'node:crypto'
import { PseudolakeError } from '../core/errors.ts'
import type { TextBatch } from '../core/texts.ts'
import { SNAPPY_HEAD_BYTES, snappyHead } from './codec.ts'
import { type Attempt, PairTable } from './pair-table.ts'
import type { ReplacedTexts } from './replace.ts'
import { type Engine, NULL, newEngine, UNSET } from './wasm/engine.ts'

/** What goes through one call; more goes through several. */
const ROOM = { in: 2 << 20, out: 4 << 20, count: 1 << 17 }

const DEFAULT_BYTES = 32 << 20
/** Of a value in a block (assembly/table.ts). */
const BLOCK_BYTES = 36
/** A value and what is kept of it has more bytes: of more values than there can be no pairs are remembered. */
const LEAST_BYTES = 64

/** Of a block; who asks whether a table is full adds a page and a slice of cells before and after. */
const NEARLY = 0.625

const ENTRY_WORDS = 4
const LENGTH_WORD = 3

/** Of a print. */
export const PRINT_BYTES = 8

export interface Found {
  /** The number of each value; valid until the next call. */
  readonly slots: Int32Array
  /** A hash of each, of eight bytes, if they were asked for; valid until the next call. Of another generation they are others. */
  readonly prints?: Uint8Array
  /** Values that were looked up; fewer than asked for where they would not fit in the memory for one call. */
  readonly count: number
  /** Their bytes. */
  readonly bytes: number
}

/** What it takes to look at the pairs of a page. */
export interface PageLook {
  readonly prints: Uint8Array
  readonly attempt: Attempt
}

/** What takes the places of a dictionary's values, all of it in the memory: valid until the next call. */
export interface EmittedPage {
  /** In PLAIN encoding. */
  readonly plain: Uint8Array
  /** The same as a Snappy literal. */
  readonly literal: Uint8Array
  /** Whether each value has the replacement that was emitted for it first, in a page before; missing where that was not looked at. */
  readonly repeated?: boolean
}

let generations = 0

export class ValueTable {
  readonly #engine: Engine
  /** Numbers mean something only in the generation they are from; no two tables have one in common. */
  generation = ++generations

  readonly #most: number
  readonly #pairs: PairTable

  /**
   * @param maxBytes what it will be emptied at: no more than half of it is taken again at once
   * @param engine with room for one call; a table of which there are many may have one with less
   */
  constructor(maxBytes = DEFAULT_BYTES, engine: Engine = newEngine(ROOM)) {
    this.#engine = engine
    this.#most = 2 ** Math.floor(Math.log2(Math.max(1, maxBytes / 2 / BLOCK_BYTES)))
    this.#pairs = new PairTable(engine, Math.max(1, maxBytes / LEAST_BYTES))
    this.#clear()
  }

  get size(): number {
    return this.#engine.entries()
  }

  /** What the values take; pairs come later, and must not make a table full that had room for its values. */
  get bytes(): number {
    return this.#engine.arenaTop() - this.#engine.places.arena - this.#pairs.bytes
  }

  /**
   * Whether it has what it may have. A block that is nearly full counts with the one of twice the size that a few values more would bring: it
   * would be the larger half of all, for as long as the table lives.
   */
  isFull(maxBytes: number): boolean {
    const room = this.#engine.blockFor()
    const next = this.size < room * NEARLY ? 0 : 2 * room * BLOCK_BYTES
    return this.bytes + next > maxBytes
  }

  /** Forgets all values. The memory stays with the table. */
  clear(): void {
    this.#clear()
    this.generation = ++generations
  }

  #clear(): void {
    this.#pairs.clear()
    // Nobody who writes an input can choose values that meet in the table.
    const salt = randomBytes(8).readBigUInt64LE()
    while (!this.#engine.clear(salt, this.#most)) this.#engine.grow()
  }

  get #entries(): number {
    return this.#engine.entriesAt() >> 2
  }

  /**
   * Numbers of values; new ones get the next numbers.
   * @param plain in PLAIN encoding, from the first of them
   * @param width bytes of a value; 0 for byte arrays
   * @param printed where prints are wanted
   * @throws RangeError where the bytes end before the values do
   */
  find(plain: Uint8Array, count: number, width: number, printed = false): Found {
    const engine = this.#engine
    const { places, room } = engine
    const most = printed ? Math.min(room.count, Math.floor(room.out / PRINT_BYTES)) : room.count
    const cut = cutToFit(plain, Math.min(count, most), width, room.in)
    engine.bytes().set(plain.subarray(0, cut.bytes), places.in)
    let found = 0
    let at = 0
    for (;;) {
      const prints = printed ? places.out + PRINT_BYTES * found : 0
      const n = engine.find(places.in + at, cut.bytes - at, cut.count - found, width, places.slots + 4 * found, prints)
      if (n < 0) throw new RangeError('values beyond the page')
      found += n
      at += engine.findConsumed()
      if (found === cut.count) break
      engine.grow()
    }
    const slots = engine.words().subarray(places.slots >> 2, (places.slots >> 2) + found)
    const prints = engine.bytes().subarray(places.out, places.out + PRINT_BYTES * found)
    return { slots, count: found, bytes: at, ...(printed && { prints }) }
  }

  /** The bytes of a value, without their length; valid until the table changes. */
  key(slot: number): Uint8Array {
    const words = this.#engine.words()
    const entry = this.#entries + slot * ENTRY_WORDS
    const from = (words[entry] as number) >>> 0
    return this.#engine.bytes().subarray(from, from + (words[entry + 1] as number))
  }

  /** The values from a number on as texts, in a buffer of their own. Of byte arrays only: their bytes are theirs. */
  textsFrom(slot: number): TextBatch {
    const words = this.#engine.words()
    const memory = this.#engine.bytes()
    const first = this.#entries + slot * ENTRY_WORDS
    const count = this.size - slot
    const offsets = new Uint32Array(count + 1)
    for (let i = 0; i < count; i++)
      offsets[i + 1] = (offsets[i] as number) + (words[first + i * ENTRY_WORDS + 1] as number)
    const bytes = new Uint8Array(offsets[count] as number)
    // Mostly they lie one behind the other.
    for (let i = 0; i < count; ) {
      const start = (words[first + i * ENTRY_WORDS] as number) >>> 0
      const shift = start - (offsets[i] as number)
      let to = i + 1
      while (to < count && (words[first + to * ENTRY_WORDS] as number) >>> 0 === (offsets[to] as number) + shift) to++
      bytes.set(memory.subarray(start, (offsets[to] as number) + shift), offsets[i])
      i = to
    }
    return { bytes, offsets }
  }

  /** @param text what takes the value's place; null where the cell becomes null */
  set(slot: number, text: string | null): void {
    const length = text === null ? 0 : Buffer.byteLength(text)
    const from = this.#take(length)
    if (length > 0) this.#engine.bytes().write(text as string, from)
    this.#put(slot, from, text === null ? NULL : length)
  }

  /**
   * As `set`, of many.
   * @param places of each value's text among them. @default the i-th is the i-th's
   */
  setTexts(slots: Int32Array, texts: ReplacedTexts, places?: Int32Array): void {
    const { bytes, offsets, nulls } = texts
    const first = offsets[0] as number
    const all = bytes.subarray(first, offsets[offsets.length - 1])
    const at = this.#take(all.length)
    this.#engine.bytes().set(all, at)
    const words = this.#engine.words()
    const entries = this.#entries
    for (let i = 0; i < slots.length; i++) {
      const place = places ? (places[i] as number) : i
      const from = offsets[place] as number
      const entry = entries + (slots[i] as number) * ENTRY_WORDS
      words[entry + 2] = at + from - first
      words[entry + LENGTH_WORD] = nulls?.[place] === 1 ? NULL : (offsets[place + 1] as number) - from
    }
  }

  /** Numbers that were found stay where they are when nothing is taken. */
  #take(bytes: number): number {
    if (bytes === 0) return this.#engine.places.arena
    for (;;) {
      const from = this.#engine.take(bytes)
      if (from !== 0) return from
      this.#engine.grow()
    }
  }

  #put(slot: number, from: number, length: number): void {
    const words = this.#engine.words()
    const entry = this.#entries + slot * ENTRY_WORDS
    words[entry + 2] = from
    words[entry + LENGTH_WORD] = length
  }

  /** Bytes of what takes a value's place; -1 where it is not known yet, -2 where it is null. */
  lengthOf(slot: number): number {
    return this.#engine.words()[this.#entries + slot * ENTRY_WORDS + LENGTH_WORD] as number
  }

  isNull(slot: number): boolean {
    return this.lengthOf(slot) === NULL
  }

  isSet(slot: number): boolean {
    return this.lengthOf(slot) !== UNSET
  }

  /** Bytes of the replacements in PLAIN encoding. @throws PseudolakeError `internal/bug` where one is missing or null */
  sizeOf(slots: Int32Array): number {
    let bytes = 0
    for (let from = 0; from < slots.length; from += this.#engine.room.count) {
      const piece = this.#give(slots, from)
      const size = Number(this.#engine.sizeOf(this.#engine.places.slots, piece))
      if (size < 0) throw unanswered()
      bytes += size
    }
    return bytes
  }

  /**
   * Writes the replacements in PLAIN encoding.
   * @param into long enough for `sizeOf`, from `at`
   * @returns where they end
   * @throws PseudolakeError `internal/bug` where one is missing or null: what was not pseudonymized is never written
   */
  emit(slots: Int32Array, into: Uint8Array, at = 0): number {
    const engine = this.#engine
    const { places } = engine
    let end = at
    for (let from = 0; from < slots.length; ) {
      const piece = this.#give(slots, from)
      const size = engine.emit(places.slots, piece, places.out, engine.room.out)
      const done = engine.emittedCount()
      if (size < 0 || done === 0) throw unanswered()
      into.set(engine.bytes().subarray(places.out, places.out + size), end)
      end += size
      from += done
    }
    return end
  }

  /**
   * As `emit`, where it fits: a dictionary page of pseudonyms.
   * @param looked prints of the values, and the file that the page is for, where it is asked whether it repeats what was emitted
   * @returns undefined where it is too long for this way
   * @throws PseudolakeError `internal/bug` as `emit`
   */
  emitPage(slots: Int32Array, looked?: PageLook): EmittedPage | undefined {
    const engine = this.#engine
    const { places, room } = engine
    if (slots.length > room.count) return undefined
    const { prints, attempt } = looked ?? {}
    const looks =
      prints !== undefined &&
      attempt !== undefined &&
      prints.length === PRINT_BYTES * slots.length &&
      prints.length <= room.in &&
      this.#pairs.expect(this.size, attempt, (bytes) => this.#take(bytes))
    const count = this.#give(slots, 0)
    const from = places.out + SNAPPY_HEAD_BYTES
    const bytes = engine.emit(places.slots, count, from, room.out - SNAPPY_HEAD_BYTES)
    if (bytes < 0) throw unanswered()
    if (engine.emittedCount() < count) return undefined
    const head = snappyHead(bytes)
    const start = from - head.length
    const memory = engine.bytes()
    memory.set(head, start)
    return {
      plain: memory.subarray(from, from + bytes),
      literal: memory.subarray(start, from + bytes),
      ...(looks && { repeated: this.#pairs.look(prints, count, from, bytes) === 0 }),
    }
  }

  #give(slots: Int32Array, from: number): number {
    const piece = slots.subarray(from, from + this.#engine.room.count)
    this.#engine.words().set(piece, this.#engine.places.slots >> 2)
    return piece.length
  }
}

/** As many whole values as fit in the memory for one call. */
function cutToFit(plain: Uint8Array, count: number, width: number, room: number): { count: number; bytes: number } {
  if (width > 0) {
    const fits = Math.min(count, Math.floor(room / width))
    if (fits * width > plain.length) throw new RangeError('values beyond the page')
    return { count: fits, bytes: fits * width }
  }
  if (plain.length <= room) return { count, bytes: plain.length }
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  let bytes = 0
  let fits = 0
  while (fits < count) {
    const next = bytes + 4 + view.getUint32(bytes, true)
    if (next > plain.length) throw new RangeError('values beyond the page')
    if (next > room) break
    bytes = next
    fits++
  }
  if (fits === 0) throw new RangeError('a value longer than may be')
  return { count: fits, bytes }
}

function unanswered(): PseudolakeError {
  return new PseudolakeError('internal/bug', 'a value without its replacement')
}
