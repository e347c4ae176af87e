/**
 * Ranges of an object whose storage answers late and has room for many requests: those that will be needed next are under way together, and what
 * lies between two of them is read along where that is cheaper than a request of its own. Every read carries the version that was opened.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { ReadShape, Storage, StoredObject } from '../storage/storage.ts'
import { corrupt } from './place.ts'
import type { RangeReader } from './range-reader.ts'

/** Bytes of one request. */
interface Piece {
  readonly start: number
  readonly end: number
  bytes?: Promise<Uint8Array>
  /** The memory that they were read into, when they are there. */
  room?: Uint8Array
}

/** A reader that may also look at what it will read later. */
export interface AheadReader extends RangeReader {
  /** Bytes that `read` will be asked for later: they stay for it. @returns as `read`, but valid until `read` is called */
  look(start: number, end: number): Promise<Uint8Array>
  /** Whether bytes up to `end` may be held together with what `read` was asked for last. */
  reaches(end: number): boolean
}

/**
 * @param needed `[start, end)` of what will be read, in the order of reading; what is not in it is read when it is asked for, by itself
 * @param shape of the storage
 */
export function parallelRanges(
  storage: Storage,
  object: StoredObject,
  needed: Iterable<readonly [number, number]>,
  shape: ReadShape,
  signal?: AbortSignal,
): AheadReader {
  const pieces = requests(needed, shape)
  /** Pieces before `first` are gone, those before `begun` were asked for. */
  let first = 0
  let begun = 0
  let held = 0
  const spare: Uint8Array[] = []
  let sinceTurn = 0

  async function load(start: number, end: number, into?: Uint8Array): Promise<Uint8Array> {
    const options = { start, end, ifMatch: object.version, ...(into && { into }) }
    const bytes = await storage.read(object.location, options)
    if (bytes.length !== end - start) throw corrupt({ location: object.location }, 'ends before its own size')
    return bytes
  }

  function begin(piece: Piece): void {
    const length = piece.end - piece.start
    const i = spare.findIndex((room) => room.length >= length)
    const [room = Buffer.allocUnsafeSlow(length)] = i < 0 ? [] : spare.splice(i, 1)
    held += length
    piece.bytes = load(piece.start, piece.end, room).then((bytes) => {
      piece.room = room
      return bytes
    })
    // A failure is that of whoever comes for the bytes; perhaps nobody does.
    piece.bytes.catch(() => {})
  }

  /** Who finds all that it asks for in memory would never let the connections have their turn, and store and run would work one after the other. */
  async function letOthers(bytes: number): Promise<void> {
    sinceTurn += bytes
    if (sinceTurn < TURN_BYTES) return
    sinceTurn = 0
    await turn()
  }

  /** What is behind stays until something further on is asked for. */
  function drop(to: number): void {
    for (; first < to; first++) {
      const piece = pieces[first] as Piece
      if (first >= begun) continue
      held -= piece.end - piece.start
      // Memory of a read that is under way is not there to be used.
      if (piece.room && spare.length < shape.underWay) spare.push(piece.room)
      delete piece.bytes
      delete piece.room
    }
    begun = Math.max(begun, first)
  }

  /** @param last that is waited for, whatever the limits */
  function readOn(last: number): void {
    while (begun < pieces.length) {
      const { start, end } = pieces[begun] as Piece
      const room = begun - first < shape.underWay && held + end - start <= shape.aheadBytes
      if (begun > last && !room) return
      begin(pieces[begun++] as Piece)
    }
  }

  /** The pieces that have bytes `[start, end)` among them, if they are to be had in one go. */
  function across(start: number, end: number): readonly [number, number] | undefined {
    let from = first
    while (from < pieces.length && !within(pieces[from] as Piece, start)) from++
    if (from === pieces.length) return undefined
    let to = from
    while ((pieces[to] as Piece).end < end) {
      if (pieces[to + 1]?.start !== pieces[to]?.end) return undefined
      to++
    }
    return [from, to]
  }

  /** Whether the pieces up to this one may be held together. */
  function fits(last: number): boolean {
    let bytes = 0
    for (const { start, end } of pieces.slice(first, last + 1)) bytes += end - start
    return last - first < shape.underWay && bytes <= shape.aheadBytes
  }

  async function bytesOf(start: number, end: number, from: number, to: number): Promise<Uint8Array> {
    const head = pieces[from] as Piece
    if (from === to) return ((await head.bytes) as Uint8Array).subarray(start - head.start, end - head.start)
    const bytes = new Uint8Array(end - start)
    for (let i = from; i <= to; i++) {
      const piece = pieces[i] as Piece
      const read = (await piece.bytes) as Uint8Array
      const part = read.subarray(Math.max(0, start - piece.start), Math.min(read.length, end - piece.start))
      bytes.set(part, Math.max(0, piece.start - start))
    }
    return bytes
  }

  return {
    async read(start, end) {
      signal?.throwIfAborted()
      if (start === end) return new Uint8Array(0)
      const found = across(start, end)
      if (!found) return load(start, end)
      drop(found[0])
      readOn(found[1])
      await letOthers(end - start)
      return bytesOf(start, end, ...found)
    },
    async look(start, end) {
      signal?.throwIfAborted()
      if (start === end) return new Uint8Array(0)
      const found = across(start, end)
      if (!found || !fits(found[1])) return load(start, end)
      readOn(found[1])
      await letOthers(end - start)
      return bytesOf(start, end, ...found)
    },
    reaches(end) {
      const last = pieces.findIndex((piece, i) => i >= first && within(piece, end - 1))
      return last >= 0 && fits(last)
    },
  }
}

function within({ start, end }: Piece, at: number): boolean {
  return start <= at && at < end
}

/** A socket takes some megabytes at a time; a run has this much done in two milliseconds. */
const TURN_BYTES = 512 << 10

/** Of the first request: who waits for it has something to do while the next, each twice as large, are under way. */
const FIRST_BYTES = 1 << 20

/** What one request fetches. Pure. */
export function requests(
  needed: Iterable<readonly [number, number]>,
  { gapBytes, requestBytes }: Pick<ReadShape, 'gapBytes' | 'requestBytes'>,
): Piece[] {
  const pieces: { start: number; end: number }[] = []
  let most = Math.min(FIRST_BYTES, requestBytes)
  const add = (start: number, end: number) => {
    for (let at = start; at < end; ) {
      const to = Math.min(end, at + most)
      pieces.push({ start: at, end: to })
      if (to === at + most) most = Math.min(2 * most, requestBytes)
      at = to
    }
  }
  let run: { start: number; end: number } | undefined
  for (const [start, end] of needed) {
    if (end <= start) continue
    if (run && start >= run.start && start <= run.end + gapBytes) run.end = Math.max(run.end, end)
    else {
      if (run) add(run.start, run.end)
      run = { start, end }
    }
  }
  if (run) add(run.start, run.end)
  return pieces
}
