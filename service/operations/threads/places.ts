import type { TextRoom } from '../../../lib/core/texts.ts'
import { NONCE_BYTES } from '../../../lib/crypto/kernel.ts'

/**
 * Memory that all threads see, in places of one part of a batch each: its texts, and what is made of them. A part changes hands by its
 * place's state alone, so handing it over costs neither a message nor a copy, and what is held does not grow with the batch.
 */

/**
 * Values of a part. Few enough that whoever works on one is soon free for others, and that at the end nobody waits long for the last
 * one of another; many enough that handing it over is lost in its work.
 */
export const PART_VALUES = 1_024
/** Bytes of a part. A text that is longer is worked on by whoever has it. */
export const PART_BYTES = 131_072
/** Room for what is made of any part. Forward: four characters for three bytes of text, nonce and tag, and ten of prefix and padding. */
const MADE_BYTES = 294_912

/** The states of a place. Who works on it sets the next one, and nobody else may touch it. */
export const STATE = {
  /** The main thread's. */
  free: 0,
  /** Whoever is first to set another state takes it. */
  ready: 1,
  done: 2,
  /** A text of it is none that can be worked on. */
  refused: 3,
  /** For another reason; the thread has said which. */
  failed: 4,
  /** And up: the number of the thread that works on it. */
  taken: 8,
} as const

/** What goes between two threads at once. */
export interface SharedPlaces {
  readonly control: SharedArrayBuffer
  readonly parts: SharedArrayBuffer
  readonly count: number
}

/** One part's place. Numbers that both sides read lie in `words`, at the fields of {@link WORD}. */
export interface Place {
  readonly index: number
  readonly words: Int32Array
  /** The part's texts. */
  readonly texts: TextRoom
  /** Of mode random; the main thread's, so that there is one source of randomness. */
  readonly nonces: Buffer
  /** What the thread made of them. */
  readonly made: TextRoom
  /** Bytes at the front of both that are to be wiped; the main thread's, as `release` found them. */
  readonly used: { texts: number; made: number }
}

export const WORD = { state: 0, key: 1, back: 2, random: 3, count: 4, turn: 5 } as const
/** A cache line each, so that no thread waits for another's. */
const WORDS = 16

/** Words of the whole: how often there was something new to look at, and how often that was a message; whether the main thread waits to be told. */
export const COMMON = { news: 0, messages: 1, waiting: 2 } as const

const OFFSET_BYTES = (PART_VALUES + 2) * Uint32Array.BYTES_PER_ELEMENT
const NONCES_BYTES = PART_VALUES * NONCE_BYTES
const PLACE_BYTES = PART_BYTES + MADE_BYTES + NONCES_BYTES + 2 * OFFSET_BYTES

export function sharePlaces(count: number): SharedPlaces {
  return {
    control: new SharedArrayBuffer((1 + count) * WORDS * Int32Array.BYTES_PER_ELEMENT),
    parts: new SharedArrayBuffer(count * PLACE_BYTES),
    count,
  }
}

/** A thread's view. */
export function viewPlaces({ control, parts, count }: SharedPlaces): { common: Int32Array; places: readonly Place[] } {
  const common = new Int32Array(control, 0, WORDS)
  return { common, places: Array.from({ length: count }, (_, index) => place(index)) }

  function place(index: number): Place {
    let at = index * PLACE_BYTES
    const bytes = (length: number) => {
      at += length
      return Buffer.from(parts, at - length, length)
    }
    const offsets = () => {
      at += OFFSET_BYTES
      return new Uint32Array(parts, at - OFFSET_BYTES, PART_VALUES + 1)
    }
    return {
      index,
      words: new Int32Array(control, (1 + index) * WORDS * Int32Array.BYTES_PER_ELEMENT, WORDS),
      texts: { bytes: bytes(PART_BYTES), offsets: offsets() },
      nonces: bytes(NONCES_BYTES),
      made: { bytes: bytes(MADE_BYTES), offsets: offsets() },
      used: { texts: 0, made: 0 },
    }
  }
}

export function stateOf({ words }: Place): number {
  return Atomics.load(words, WORD.state)
}

/** @returns whether it was as expected, and is another's no more */
export function changeState({ words }: Place, from: number, to: number): boolean {
  return Atomics.compareExchange(words, WORD.state, from, to) === from
}

/** Says that there is something to look at. */
export function tellNews(common: Int32Array): void {
  Atomics.add(common, COMMON.news, 1)
  Atomics.notify(common, COMMON.news)
}

/** Overwrites the front of shared memory, which `fill` would byte by byte. */
export function wipeFront(bytes: Uint8Array, count: number): void {
  for (let at = 0; at < count; at += ZEROS) zeros.copy(bytes, at, 0, Math.min(ZEROS, count - at))
}

const ZEROS = 16_384
/** One more: a buffer that is copied whole goes the language's slow way. */
const zeros = Buffer.alloc(ZEROS + 1)
