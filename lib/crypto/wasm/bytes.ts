import { isUtf8 } from 'node:buffer'
import {
  asBuffer,
  bytesIn,
  countOf,
  lengthOf,
  offsetsIn,
  type TextBatch,
  type TextRoom,
  textAt,
} from '../../core/texts.ts'
import { checkIdentifiers } from '../check.ts'
import { digitsOf, MAX_ENCODED } from '../format.ts'
import { NONCE_BYTES, type RandomBytes } from '../kernel.ts'
import { refusalFor } from '../refusal.ts'
import { BACK_TEXT, FORWARD_TEXT, sealedShare } from './chunk.ts'
import { BAD, MESSAGES, WIDE } from './engine.ts'
import type { Keyed } from './keyed.ts'

/** Bytes in, bytes out: a chunk is one copy into the engine's memory and one out of it, and no string is made. */

export function sealBytes(
  keyed: Keyed,
  batch: TextBatch,
  randomBytes: RandomBytes | undefined,
  into: TextRoom | undefined,
): TextBatch {
  const { format } = keyed
  const { memory, places, lengths } = keyed.engine
  const count = checkIdentifiers(batch, keyed.id)
  const source = asBuffer(batch.bytes)
  const offsets = offsetsIn(into, count)
  let total = 0
  for (let i = 0; i < count; i++) {
    total += format.length(lengthOf(batch, i))
    offsets[i + 1] = total
  }
  const bytes = bytesIn(into, total)
  for (const [from, to] of chunks(batch, count, FORWARD_TEXT)) {
    const n = to - from
    const random = randomBytes?.(NONCE_BYTES * n)
    const textBytes = (batch.offsets[to] as number) - (batch.offsets[from] as number)
    let longest = 0
    let outBytes = 0
    try {
      source.copy(memory, places.text, batch.offsets[from], batch.offsets[to])
      for (let i = 0; i < n; i++) {
        const length = lengthOf(batch, from + i)
        lengths[i] = length
        if (length > longest) longest = length
      }
      outBytes = keyed.seal(n, random)
      memory.copy(bytes, offsets[from], places.out, places.out + outBytes)
    } finally {
      keyed.forget(n, textBytes, outBytes, 0, longest)
    }
  }
  return { bytes, offsets }
}

export function openBytes(keyed: Keyed, batch: TextBatch, into: TextRoom | undefined): TextBatch {
  const { memory, places, lengths } = keyed.engine
  const count = countOf(batch)
  const refusal = refusalFor('pseudonym/invalid', keyed.id)
  const most = MAX_ENCODED + keyed.prefixBytes
  // Where there is room for them, how long they will be shows when they are there.
  const room = into?.bytes ?? bytesIn(undefined, plainBytes(keyed, batch, count))
  const offsets = offsetsIn(into, count)
  let total = 0
  for (const [from, to] of chunks(batch, count, BACK_TEXT, most)) {
    const n = to - from
    let textBytes = 0
    let longest = 0
    let outBytes = 0
    try {
      textBytes = place(keyed, batch, from, to, most)
      longest = keyed.open(n)
      const { flags, out } = places
      for (let i = 0; i < n; i++) {
        const flag = memory[flags + i]
        const length = flag === BAD ? 0 : (lengths[i] as number)
        // Each by itself: what is joined may be valid where its parts are not.
        if (flag === BAD || (flag === WIDE && !isUtf8(memory.subarray(out + outBytes, out + outBytes + length))))
          refusal.add(from + i)
        outBytes += length
        offsets[from + i + 1] = total + outBytes
      }
      if (!refusal.any && total + outBytes <= room.length) memory.copy(room, total, out, out + outBytes)
      total += outBytes
    } finally {
      keyed.forget(n, textBytes, outBytes, sealedShare(textBytes, n), longest)
    }
  }
  if (refusal.any || total > room.length) room.fill(0, 0, total)
  refusal.throwIfAny()
  if (!into && total !== room.length) throw new Error(`the way back has ${total} bytes instead of ${room.length}`)
  return { bytes: into ? bytesIn(into, total) : room, offsets }
}

/** Puts a chunk's texts in place. What is too long for a pseudonym is none, as the empty text is. @returns bytes */
function place(keyed: Keyed, batch: TextBatch, from: number, to: number, most: number): number {
  const { memory, places, lengths } = keyed.engine
  const start = batch.offsets[from] as number
  const end = batch.offsets[to] as number
  let all = true
  for (let i = from; i < to; i++) {
    const length = lengthOf(batch, i)
    lengths[i - from] = length > most ? 0 : length
    if (length > most) all = false
  }
  if (all) {
    asBuffer(batch.bytes).copy(memory, places.text, start, end)
    return end - start
  }
  let at = 0
  for (let i = from; i < to; i++) {
    if (lengthOf(batch, i) > most) continue
    memory.set(textAt(batch, i), places.text + at)
    at += lengthOf(batch, i)
  }
  return at
}

/** Bytes of all identifiers, where every text is a pseudonym; else nothing is answered, and this is only a bound. */
function plainBytes({ format }: Keyed, batch: TextBatch, count: number): number {
  let total = 0
  for (let i = 0; i < count; i++) total += format.plainLength(digitsOf(batch, i))
  return total
}

/** From and to of each chunk; a text longer than `longest` takes no room. */
function* chunks(
  batch: TextBatch,
  count: number,
  most: number,
  longest = Number.POSITIVE_INFINITY,
): Generator<[number, number]> {
  for (let from = 0; from < count; ) {
    const end = Math.min(count, from + MESSAGES)
    if ((batch.offsets[end] as number) - (batch.offsets[from] as number) <= most) {
      yield [from, end]
      from = end
      continue
    }
    let to = from
    let bytes = 0
    for (; to < end; to++) {
      const length = lengthOf(batch, to)
      if (length > longest) continue
      if (bytes + length > most && to > from) break
      bytes += length
    }
    yield [from, to]
    from = to
  }
}
