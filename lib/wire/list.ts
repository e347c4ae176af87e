/**
 * `{"<field>":["…",…]}` as bytes, written and read without making a string of any text: what nearly every body of the contract is.
 */
import { isUtf8 } from 'node:buffer'
import type { TextBatch } from '../core/texts.ts'

/** Bytes of the text `[from, to)` as JSON has it, without its quotes. */
export function jsonBytes(bytes: Uint8Array, from: number, to: number): number {
  let more = 0
  for (let i = from; i < to; i++) more += MORE[bytes[i] as number] as number
  return to - from + more
}

/** The body, as JSON.stringify writes it. @param batch UTF-8 */
export function writeList(field: string, batch: TextBatch): Uint8Array<ArrayBuffer> {
  const { bytes, offsets } = batch
  const count = offsets.length - 1
  const [head, tail] = [`{"${field}":[`, ']}']
  const texts = jsonBytes(bytes, offsets[0] as number, offsets[count] as number)
  const out = new Uint8Array(head.length + texts + '"",'.length * count - (count > 0 ? 1 : 0) + tail.length)
  let at = putAscii(head, out, 0)
  const plain = texts === (offsets[count] as number) - (offsets[0] as number)
  for (let i = 0; i < count; i++) {
    if (i > 0) out[at++] = COMMA
    out[at++] = QUOTE
    const from = offsets[i] as number
    const to = offsets[i + 1] as number
    at = plain ? copy(bytes, from, to, out, at) : quote(bytes, from, to, out, at)
    out[at++] = QUOTE
  }
  putAscii(tail, out, at)
  return out
}

/**
 * The texts of a body that is nothing but a list of them, without white space, in a buffer of their own.
 * @returns undefined for every other body, whatever is the matter with it: who wants to know parses it as JSON
 */
export function readTexts(body: Uint8Array, field: string): TextBatch | undefined {
  const head = `{"${field}":[`
  const end = body.length - 2
  if (end < head.length || body[end] !== CLOSE_LIST || body[end + 1] !== CLOSE_OBJECT) return undefined
  for (let i = 0; i < head.length; i++) if (body[i] !== head.charCodeAt(i)) return undefined
  if (!isUtf8(body)) return undefined
  const bytes = new Uint8Array(end - head.length)
  let offsets = new Uint32Array(FIRST_OFFSETS)
  let count = 0
  let to = 0
  for (let at = head.length; at < end; ) {
    if (count > 0 && body[at++] !== COMMA) return undefined
    if (body[at++] !== QUOTE) return undefined
    for (; at < end; at++) {
      let c = body[at] as number
      if (c === QUOTE) break
      if (c === BACKSLASH) {
        // How Gson writes padding: the original service's pseudonyms have it. Other escapes are rare.
        if (!isEscapedEquals(body, at)) return undefined
        at += ESCAPED_EQUALS.length - 1
        c = EQUALS
      } else if (c < 0x20) return undefined
      bytes[to++] = c
    }
    if (at++ >= end) return undefined
    if (++count === offsets.length) {
      const more = new Uint32Array(2 * offsets.length)
      more.set(offsets)
      offsets = more
    }
    offsets[count] = to
  }
  return { bytes: bytes.subarray(0, to), offsets: offsets.subarray(0, count + 1) }
}

const FIRST_OFFSETS = 1024
const QUOTE = 0x22
const COMMA = 0x2c
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const CLOSE_OBJECT = 0x7d
const ESCAPED_EQUALS = '\\u003d'

/** By byte: what JSON adds to it. */
const MORE = new Uint8Array(256).fill('\\u0000'.length - 1, 0, 0x20)
/** By byte: the letter behind the backslash, where it has one. */
const LETTER = new Uint8Array(256)
for (const [char, letter] of ['""', '\\\\', '\bb', '\tt', '\nn', '\ff', '\rr'].map(
  (pair) => [...pair] as [string, string],
)) {
  MORE[char.charCodeAt(0)] = 1
  LETTER[char.charCodeAt(0)] = letter.charCodeAt(0)
}

/** Longer texts are moved by the runtime: a call for each costs more than the bytes of a short one. */
const SHORT_BYTES = 64

function copy(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  if (to - from > SHORT_BYTES) out.set(bytes.subarray(from, to), at)
  else for (let i = from, o = at; i < to; i++, o++) out[o] = bytes[i] as number
  return at + to - from
}

function quote(bytes: Uint8Array, from: number, to: number, out: Uint8Array, start: number): number {
  let at = start
  for (let i = from; i < to; i++) {
    const c = bytes[i] as number
    if (MORE[c] === 0) out[at++] = c
    else if (LETTER[c] !== 0) {
      out[at++] = BACKSLASH
      out[at++] = LETTER[c] as number
    } else at = putAscii(`\\u${c.toString(16).padStart(4, '0')}`, out, at)
  }
  return at
}

function putAscii(text: string, out: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i)
  return at + text.length
}

function isEscapedEquals(body: Uint8Array, at: number): boolean {
  for (let i = 0; i < ESCAPED_EQUALS.length; i++) {
    // Hex digits come in both cases.
    if (((body[at + i] ?? 0) | (i > 1 ? 0x20 : 0)) !== ESCAPED_EQUALS.charCodeAt(i)) return false
  }
  return true
}
