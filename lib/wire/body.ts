/**
 * Request bodies. JSON.parse does the parsing; beside it a walk over the text finds what JSON.parse forgets: how a number was
 * spelt (`1.0`, `12345678901234567890`), whether a field came twice, and how deep it all nests. (JSON.parse's own way to source
 * texts, the reviver's context, is missing in Node 22 and takes twenty times as long.)
 */

import { MAX_VALUES } from './contract.ts'

/** A value of the list: its text, null as it was sent, or undefined for an array or an object, which have no text. */
export type Listed = string | null | undefined

/** Nesting deeper than this is no request of anybody's. */
const MAX_DEPTH = 64
/** Fields beside the one that counts, which are ignored; a body made of a million is no request either. */
const MAX_FIELDS = 256

/** What is wrong with a body, never with a value of it. */
export interface Unreadable {
  readonly wrong: string
  /** It may be well-formed, and has more than is taken. */
  readonly tooMany?: boolean
}

/**
 * Reads `{"<field>": [ … ]}`, of {@link MAX_VALUES} at most. Other fields are ignored, but none may come twice: which of the two counts
 * depends on who reads it. Numbers and booleans count as their JSON source text.
 */
export function readList(body: Uint8Array, field: string): readonly Listed[] | Unreadable {
  let text: string
  try {
    text = UTF8.decode(body)
  } catch {
    return { wrong: 'the body is not UTF-8' }
  }
  const walked = walk(text, field)
  if ('wrong' in walked) return walked
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    return { wrong: text.trim() === '' ? 'the body is empty' : 'the body is not JSON' }
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    return { wrong: 'the body is not a JSON object' }
  if (!Object.hasOwn(parsed, field)) return { wrong: `the field ${field} is missing` }
  const list = (parsed as Record<string, unknown>)[field]
  if (!Array.isArray(list)) return { wrong: `the field ${field} is not a list` }
  for (let i = 0; i < list.length; i++) {
    const value: unknown = list[i]
    if (typeof value !== 'string' && value !== null) list[i] = walked.get(i)
  }
  return list
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The source texts of the numbers and booleans in the field's list, by index; or what is wrong. The text need not be JSON: what
 * comes out for a text that is none does not matter, as long as it comes out.
 */
function walk(text: string, field: string): Map<number, string> | Unreadable {
  const scalars = new Map<number, string>()
  const fields = new Set<string | undefined>()
  let depth = 0
  let key: string | undefined
  /** The place in the list; undefined outside of it. */
  let index: number | undefined
  for (let i = 0; i < text.length; ) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) {
      const end = endOfString(text, i)
      if (depth === 1) {
        key = text.slice(i + 1, end - 1)
        if (key.includes('\\')) key = unescaped(text.slice(i, end))
      }
      i = end
    } else if (c === COMMA) {
      if (depth === 2 && index !== undefined && ++index >= MAX_VALUES)
        return { wrong: `there are more than ${MAX_VALUES} values`, tooMany: true }
      i++
    } else if (c === COLON) {
      // At depth 1 the string before a colon is a key; strings that are values have a comma or the end after them.
      if (depth === 1) {
        if (fields.has(key)) return { wrong: key === field ? `the field ${field} comes twice` : 'a field comes twice' }
        if (fields.size === MAX_FIELDS) return { wrong: `the body has more than ${MAX_FIELDS} fields` }
        fields.add(key)
      }
      i++
    } else if (c === OPEN_LIST || c === OPEN_OBJECT) {
      if (++depth > MAX_DEPTH) return { wrong: `the body nests deeper than ${MAX_DEPTH}` }
      if (depth === 2 && key === field && c === OPEN_LIST) index = 0
      i++
    } else if (c === CLOSE_LIST || c === CLOSE_OBJECT) {
      if (--depth === 1) index = undefined
      i++
    } else if (depth === 2 && index !== undefined && c > 0x20) {
      const start = i
      while (i < text.length && !ENDS_SCALAR.has(text.charCodeAt(i))) i++
      scalars.set(index, text.slice(start, i))
    } else i++
  }
  return scalars
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const ENDS_SCALAR = new Set([
  0x09,
  0x0a,
  0x0d,
  0x20,
  QUOTE,
  COMMA,
  COLON,
  OPEN_LIST,
  CLOSE_LIST,
  OPEN_OBJECT,
  CLOSE_OBJECT,
])

/** Where the string that opens at `start` has ended; the end of the text where it has not. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; ; i++) {
    i = text.indexOf('"', i)
    if (i < 0) return text.length
    let backslashes = 0
    while (text.charCodeAt(i - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return i + 1
  }
}

function unescaped(literal: string): string | undefined {
  try {
    return JSON.parse(literal)
  } catch {
    return undefined
  }
}
