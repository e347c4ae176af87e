import {
  asBuffer,
  bytesIn,
  countOf,
  discard,
  lengthOf,
  packInto,
  type TextBatch,
  unpackInto,
} from '../../../lib/core/texts.ts'
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
      const made = forward ? kernel.pseudonymize(part, { deterministic }) : kernel.reidentify(part)
      for (let i = 0; i < made.length; i++) result[from + i] = made[i] as string
    },
  }
}

/** Bytes in, bytes out. */
export interface BytesParts extends Parts {
  /** All of it, once each part was made. */
  whole(): TextBatch
}

/** @throws RangeError where the batch's offsets are not what they must be */
export function bytesParts(kernel: PseudonymKernel, batch: TextBatch, how: How): BytesParts {
  const count = countOf(batch)
  const source = asBuffer(batch.bytes)
  const common = { count, fit, put: putBytes }
  return how.direction === 'pseudonymize' ? forward(how.deterministic) : back()

  function fit(from: number, to: number): number {
    const most = (batch.offsets[from] as number) + PART_BYTES
    let end = to
    while (end > from + 1 && (batch.offsets[end] as number) > most) end--
    return end
  }

  function putBytes({ from, to }: Part, { texts }: Place): boolean {
    const start = batch.offsets[from] as number
    const end = batch.offsets[to] as number
    if (end - start > texts.bytes.length) return false
    for (let i = from; i <= to; i++) texts.offsets[i - from] = (batch.offsets[i] as number) - start
    source.copy(texts.bytes, 0, start, end)
    return true
  }

  function of({ from, to }: Part): TextBatch {
    return { bytes: batch.bytes, offsets: batch.offsets.subarray(from, to + 1) }
  }

  /** How long pseudonyms are is known, so each part is made in its place, or copied there. */
  function forward(deterministic: boolean): BytesParts {
    let room: { readonly bytes: Uint8Array; readonly offsets: Uint32Array } | undefined
    const scratch = new Uint32Array(PART_VALUES + 1)
    function answer() {
      room ??= pseudonymRoom(kernel, batch)
      return room
    }
    return {
      ...common,
      take({ from, to }, place) {
        const { bytes, offsets } = answer()
        const { made } = place
        asBuffer(made.bytes).copy(bytes, offsets[from], 0, made.offsets[to - from])
      },
      make(part) {
        const { bytes, offsets } = answer()
        const into = { bytes: bytes.subarray(offsets[part.from], offsets[part.to]), offsets: scratch }
        kernel.pseudonymizeBytes(of(part), { deterministic, into })
      },
      whole: answer,
    }
  }

  /** How long identifiers are shows when they are made: each part’s offsets count from its own start until all are there. */
  function back(): BytesParts {
    const made: MadePart[] = []
    const offsets = new Uint32Array(count + 1)
    function add(from: number, bytes: Uint8Array, its: Uint32Array, n: number): void {
      for (let i = 1; i <= n; i++) offsets[from + i] = its[i] as number
      made.push({ from, to: from + n, bytes })
    }
    return {
      ...common,
      take({ from, to }, { made }) {
        const bytes = new Uint8Array(made.offsets[to - from] as number)
        asBuffer(made.bytes).copy(bytes, 0, 0, bytes.length)
        add(from, bytes, made.offsets, to - from)
      },
      make(part) {
        const { bytes, offsets } = kernel.reidentifyBytes(of(part))
        add(part.from, bytes, offsets as Uint32Array, part.to - part.from)
      },
      whole: () => ({ bytes: joined(made, offsets), offsets }),
    }
  }
}

interface MadePart extends Part {
  readonly bytes: Uint8Array
}

/** One after the other, in buffers of their own that are wiped. @param offsets from each part's start on, and then from the whole's */
function joined(parts: MadePart[], offsets: Uint32Array): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { bytes }) => sum + bytes.length, 0))
  let at = 0
  for (const { from, to, bytes } of parts.sort((a, b) => a.from - b.from)) {
    all.set(bytes, at)
    for (let i = from + 1; i <= to; i++) offsets[i] = (offsets[i] as number) + at
    at += bytes.length
    discard(bytes)
  }
  return all
}

function pseudonymRoom(kernel: PseudonymKernel, batch: TextBatch) {
  const offsets = new Uint32Array(batch.offsets.length)
  let total = 0
  let last = -1
  let length = 0
  for (let i = 0; i + 1 < offsets.length; i++) {
    const bytes = lengthOf(batch, i)
    // Identifiers are mostly of one length.
    if (bytes !== last) length = kernel.pseudonymLength(bytes)
    last = bytes
    total += length
    offsets[i + 1] = total
  }
  return { bytes: bytesIn(undefined, total), offsets }
}
