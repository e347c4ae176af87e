/** What is done to all texts of a batch in one call (wasm/assembly): a batch is copied in, and what comes of it out. */
import { isUtf8 } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { TextBatch } from './texts.ts'
import { type Areas, areas, isThere } from './wasm/engine.ts'

export { isThere }

/** A batch goes through in parts of so many bytes, so that the memory stays small; a text may be larger. */
const PART_BYTES = 1 << 20

/** Bytes of each text as JSON has it, without its quotes. */
export function jsonSizes(batch: TextBatch): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(batch.offsets.length - 1)
  for (const [from, to] of parts(batch)) {
    const room = withBatch(batch, from, to, 4 * (to - from))
    room.engine.sizes(room.bytesAt, room.offsetsAt, to - from, room.at[0] as number)
    out.set(room.words.subarray((room.at[0] as number) >> 2, ((room.at[0] as number) >> 2) + to - from), from)
  }
  return out
}

/** The texts as JSON has them, with quotes, and commas between them. @param out from `at`, as long as {@link jsonSizes} says @returns where they end */
export function putJson(batch: TextBatch, sizes: Uint32Array, out: Uint8Array, at: number): number {
  let end = at
  for (const [from, to] of parts(batch)) {
    if (from > 0) out[end++] = COMMA
    let most = 0
    for (let i = from; i < to; i++) most += (sizes[i] as number) + QUOTES_BYTES
    const { engine, bytes, bytesAt, offsetsAt, at: rest } = withBatch(batch, from, to, most)
    const text = rest[0] as number
    const written = engine.write(bytesAt, offsetsAt, to - from, text)
    out.set(bytes.subarray(text, text + written), end)
    end += written
    // The memory stays, and so would the texts: those that were read lie in front of those that were written.
    bytes.fill(0, bytesAt, offsetsAt)
    bytes.fill(0, text, text + written)
  }
  return end
}
const COMMA = 0x2c
/** And the comma. */
const QUOTES_BYTES = 3

export interface ListForm {
  /** The one field of the object that the list is in; ASCII, and nothing that JSON or an expression would escape. */
  readonly field: string
  /** Texts, at most. */
  readonly most: number
}

/**
 * The texts of `{"<field>":["…",…]}`, in buffers of their own; white space where JSON has it.
 * @param pieces of `size` bytes together
 * @returns undefined where it is anything else, is not UTF-8, has more texts, or has another escape than that of `=`
 */
export function scanJson(
  pieces: readonly Uint8Array[],
  size: number,
  { field, most }: ListForm,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly offsets: Uint32Array<ArrayBuffer> } | undefined {
  const { engine, at, bytes, words } = areas(size, size, 4 * (most + 1))
  const [src, out, offsetsAt] = at as [number, number, number]
  let end = src
  for (const piece of pieces) {
    bytes.set(piece, end)
    end += piece.length
  }
  let written = 0
  try {
    const head = headsOf(field).exec(bytes.toString('latin1', src, Math.min(end, src + HEAD_BYTES)))?.[0].length
    const tail = TAIL.exec(bytes.toString('latin1', Math.max(src, end - TAIL_BYTES), end))?.[0].length
    if (head === undefined || tail === undefined || head + tail > size) return undefined
    if (!isUtf8(bytes.subarray(src, end))) return undefined
    written = size
    const count = engine.scan(src + head, size - head - tail, out, offsetsAt, most)
    if (count < 0) return undefined
    const offsets = words.slice(offsetsAt >> 2, (offsetsAt >> 2) + count + 1)
    written = offsets[count] as number
    return { bytes: new Uint8Array(bytes.subarray(out, out + written)), offsets }
  } finally {
    // The memory stays, and so would the texts.
    bytes.fill(0, src, end)
    bytes.fill(0, out, out + written + SCAN_STEP)
  }
}

/** Where a list's head and tail are looked for; who sends more white space is read by another parser. */
const HEAD_BYTES = 64
const TAIL_BYTES = 16
const TAIL = /\][ \t\r\n]*\}[ \t\r\n]*$/
/** What the scan writes at once. */
const SCAN_STEP = 16

const heads = new Map<string, RegExp>()

function headsOf(field: string): RegExp {
  let head = heads.get(field)
  if (!head) {
    head = new RegExp(`^[ \\t\\r\\n]*\\{[ \\t\\r\\n]*"${field}"[ \\t\\r\\n]*:[ \\t\\r\\n]*\\[`)
    heads.set(field, head)
  }
  return head
}

export const FORM = { NONE: 0, ORIGINAL: 1, V2: 2 } as const

/** Of each text, which form of pseudonym it has (lib/wire/forms.ts). */
export function formsOfTexts(batch: TextBatch): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(batch.offsets.length - 1)
  for (const [from, to] of parts(batch)) {
    const { engine, bytes, bytesAt, offsetsAt, at } = withBatch(batch, from, to, to - from)
    engine.forms(bytesAt, offsetsAt, to - from, at[0] as number)
    out.set(bytes.subarray(at[0], (at[0] as number) + to - from), from)
  }
  return out
}

/**
 * Which texts are equal.
 * @returns for each text the place of the first that is equal to it: its own where none is before it
 */
export function firstPlaces(batch: TextBatch): Int32Array<ArrayBuffer> {
  const count = batch.offsets.length - 1
  const { words, places } = lookForEqual(batch, count)
  return Int32Array.from(words.subarray(places >> 2, (places >> 2) + count))
}

/** Whether no two texts are equal. */
export function areDistinct(batch: TextBatch): boolean {
  const count = batch.offsets.length - 1
  return lookForEqual(batch, count).different === count
}

function lookForEqual(batch: TextBatch, count: number) {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1, count) * 2))
  const { engine, bytesAt, offsetsAt, at, words } = withBatch(batch, 0, count, 4 * slots, 4 * count, 4 * count)
  const [slotsAt, hashes, places] = at as [number, number, number]
  words.fill(0, slotsAt >> 2, (slotsAt >> 2) + slots)
  return {
    words,
    places,
    different: engine.firstPlaces(bytesAt, offsetsAt, count, slotsAt, slots - 1, hashes, places, SEED),
  }
}

/** Other texts meet in each process, so that nobody who writes an input can choose ones that do. */
const SEED = randomBytes(8).readBigUInt64LE()

interface Room extends Areas {
  readonly bytesAt: number
  readonly offsetsAt: number
}

/** The texts `[from, to)` in the memory, their offsets from 0, and room for more behind them. */
function withBatch({ bytes, offsets }: TextBatch, from: number, to: number, ...sizes: readonly number[]): Room {
  const first = offsets[from] as number
  const last = offsets[to] as number
  const room = areas(last - first, 4 * (to - from + 1), ...sizes)
  const [bytesAt, offsetsAt, ...at] = room.at as [number, number]
  room.bytes.set(bytes.subarray(first, last), bytesAt)
  const words = offsetsAt >> 2
  if (first === 0) room.words.set(offsets.subarray(from, to + 1), words)
  else for (let i = from; i <= to; i++) room.words[words + i - from] = (offsets[i] as number) - first
  return { ...room, at, bytesAt, offsetsAt }
}

/** From and to of parts of at most {@link PART_BYTES}, or of one text. */
function* parts({ offsets }: TextBatch): Generator<readonly [from: number, to: number]> {
  const count = offsets.length - 1
  let from = 0
  while (from < count) {
    const start = offsets[from] as number
    let to = count
    if ((offsets[count] as number) - start > PART_BYTES)
      for (to = from + 1; to < count && (offsets[to + 1] as number) - start <= PART_BYTES; ) to++
    yield [from, to]
    from = to
  }
}
