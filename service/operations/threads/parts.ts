import {
  asBuffer,
  bytesIn,
  countOf,
  discard,
  lengthOf,
  packInto,
  sliceOf,
  type TextBatch,
  unpackInto,
} from '../../../lib/core/texts.ts'
import { digitsOf } from '../../../lib/crypto/format.ts'
import type { PseudonymKernel } from '../../../lib/crypto/kernel.ts'
import type { Direction } from '../../../lib/wire/contract.ts'
import { PART_BYTES, PART_VALUES, type Place } from './places.ts'

/** What is to be done with a batch. */
export interface How {
  readonly direction: Direction
  readonly deterministic: boolean
  /** Awaited between two parts: lets others have the thread, or stops the work by throwing. @default a turn of the event loop */
  readonly pause?: (() => Promise<void>) | undefined
}

/** A batch, by its parts: each is made by this thread, or put into a place and, when another thread has made it, taken out. In any order. */
export interface Parts {
  readonly count: number
  /** How far a part from `from` on may go, to `to` at most, so that its place holds it; at least one text. */
  fit(from: number, to: number): number
  /** @returns false where the part can't be put there; then nothing was */
  put(part: Part, place: Place): boolean
  take(part: Part, place: Place): void
  /** @throws PseudolakeError as the kernel does, with indices into the part */
  make(part: Part): void
}

/** The texts from, and up to, not including, to. */
export interface Part {
  readonly from: number
  readonly to: number
}

/** Strings in, strings out. @param result gets them at their places */
export function stringParts(kernel: PseudonymKernel, texts: readonly string[], how: How, result: string[]): Parts {
  const { direction, deterministic } = how
  const forward = direction === 'pseudonymize'
  return {
    count: texts.length,
    fit(from, to) {
      // Three bytes of UTF-8 for each UTF-16 unit; what is not ASCII is no pseudonym.
      let left = forward ? PART_BYTES / 3 : PART_BYTES
      for (let i = from; i < to; i++) {
        left -= (texts[i] as string).length
        if (left < 0 && i > from) return i
      }
      return to
    },
    put: ({ from, to }, place) => packInto(texts.slice(from, to), place.texts),
    take({ from, to }, place) {
      const offsets = place.made.offsets.subarray(0, to - from + 1)
      unpackInto({ bytes: place.made.bytes.subarray(0, offsets[to - from]), offsets }, result, from)
    },
    make({ from, to }) {
      const part = texts.slice(from, to)
      const into = { texts: result, at: from }
      if (forward) kernel.pseudonymize(part, { deterministic, into })
      else kernel.reidentify(part, { into })
    },
  }
}

/** Bytes in, bytes out. */
export interface BytesParts extends Parts {
  /** All of it, once each part was made. */
  whole(): TextBatch
}

/**
 * How long a text will be shows before it is made, so each part is made in its place in the answer, or copied there.
 * @throws RangeError where the batch's offsets are not what they must be
 */
export function bytesParts(kernel: PseudonymKernel, batch: TextBatch, how: How): BytesParts {
  const count = countOf(batch)
  const source = asBuffer(batch.bytes)
  const { deterministic } = how
  const forward = how.direction === 'pseudonymize'
  const offsets = new Uint32Array(count + 1)
  const scratch = new Uint32Array(PART_VALUES + 1)
  let known = 0
  let room: Uint8Array | undefined

  /** Fills in the offsets up to a text's end. Of pseudonyms it looks at the padding, so it is best done when they are read anyway. */
  function measure(to: number): void {
    let end = offsets[known] as number
    let last = -1
    let length = 0
    for (let i = known; i < to; i++) {
      const size = forward ? lengthOf(batch, i) : digitsOf(batch, i)
      // Most are of one length.
      if (size !== last) length = forward ? kernel.pseudonymLength(size) : kernel.identifierLength(size)
      last = size
      end += length
      offsets[i + 1] = end
    }
    known = Math.max(known, to)
  }

  /** A part's place in the answer, which is made once others have something to do. */
  function roomOf({ from, to }: Part): Uint8Array {
    if (forward) measure(count)
    room ??= bytesIn(undefined, forward ? (offsets[count] as number) : mostBytes(kernel, batch))
    return room.subarray(offsets[from], offsets[to])
  }

  return {
    count,

    fit(from, to) {
      const most = (batch.offsets[from] as number) + PART_BYTES
      let end = to
      while (end > from + 1 && (batch.offsets[end] as number) > most) end--
      return end
    },

    put({ from, to }, { texts }) {
      const start = batch.offsets[from] as number
      const end = batch.offsets[to] as number
      if (end - start > texts.bytes.length) return false
      for (let i = from; i <= to; i++) texts.offsets[i - from] = (batch.offsets[i] as number) - start
      source.copy(texts.bytes, 0, start, end)
      measure(to)
      return true
    },

    take(part, { made }) {
      const bytes = roomOf(part)
      asBuffer(made.bytes).copy(bytes, 0, 0, bytes.length)
    },

    make(part) {
      measure(part.to)
      const into = { bytes: roomOf(part), offsets: scratch }
      const texts = sliceOf(batch, part.from, part.to)
      if (forward) kernel.pseudonymizeBytes(texts, { deterministic, into })
      else kernel.reidentifyBytes(texts, { into })
    },

    whole() {
      const bytes = roomOf({ from: 0, to: count })
      if (bytes.length === room?.length) return { bytes, offsets }
      const own = new Uint8Array(bytes)
      discard(room as Uint8Array)
      return { bytes: own, offsets }
    },
  }
}

/** What the identifiers of pseudonyms have at most: exactly that, but for those with padding. */
function mostBytes(kernel: PseudonymKernel, batch: TextBatch): number {
  let total = 0
  let last = -1
  let length = 0
  for (let i = 0; i + 1 < batch.offsets.length; i++) {
    const characters = lengthOf(batch, i)
    if (characters !== last) length = kernel.identifierLength(characters)
    last = characters
    total += length
  }
  return total
}
