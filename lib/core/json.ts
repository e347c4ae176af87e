/**
 * JSON whose 64-bit integers survive.
 *
 * Iceberg snapshot ids are random int64 numbers, nearly all of them beyond 2^53: `JSON.parse` rounds them without a word, and a table
 * whose ids were rounded cannot be read any more. Pure.
 */

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject
export type JsonObject = { readonly [key: string]: Json | undefined }

/** A run of 16 digits: below that every integer is exact as a number, and the fast built-in path is right. */
const LONG_NUMBER = /\d{16}/
const INTEGER = /^-?\d+$/

/**
 * Parses JSON. An integer outside ±(2^53 - 1) becomes a bigint; every other number is a number.
 * Property order is kept as far as JavaScript objects do (names that are array indexes come first).
 * @throws SyntaxError as JSON.parse does
 */
export function parseJson(text: string): Json {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text) as Json
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
    const source = context?.source
    return source !== undefined && INTEGER.test(source) ? BigInt(source) : value
  }) as Json
}

/** The text that `parseJson` reads back to an equal value. `undefined` members are left out. @param indent blanks per level; 0 for one line */
export function stringifyJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? raw(member) : member), indent)
}

// TypeScript's library does not know JSON.rawJSON yet; every Node from 21 on has it.
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown }

function raw(integer: bigint): unknown {
  return rawJSON(integer.toString())
}
