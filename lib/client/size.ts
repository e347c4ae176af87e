import type { Direction } from '../wire/contract.ts'

/**
 * What a value costs on the wire. Exact for what we send; an upper bound for what comes back, because a service in front of which
 * a gateway stands (API Gateway 10 MB, Lambda 6 MB) answers a too large *response* with a plain 5xx that says nothing.
 */
export interface WireSize {
  /** UTF-8 bytes of the value itself. */
  readonly utf8: number
  /** Bytes of the value as a JSON string with its comma. */
  readonly request: number
  /** Bytes of its answer, at most. */
  readonly response: number
}

/** Bytes around the values: `{"identifiers":[]}` and the like. */
export const ENVELOPE_BYTES = 32

// Characters that JSON writes longer than UTF-8 does: quote, backslash, controls, and halves of surrogate pairs (a pair as such is
// not longer, but JSON.stringify decides that better than an expression).
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what is looked for
const LONGER_IN_JSON = /["\\\u0000-\u001f\ud800-\udfff]/

// A pseudonym is the identifier's bytes with a nonce of 12 and a tag of 16 in base64; around it quotes, comma, the v2 prefix
// (`p2.` kid `.`), or a padding that Gson writes as \u003d twice.
const OVERHEAD_BYTES = 28
const SLACK_BYTES = 16

export function sizeOf(value: string, direction: Direction): WireSize {
  const utf8 = Buffer.byteLength(value)
  const quoted = LONGER_IN_JSON.test(value) ? Buffer.byteLength(JSON.stringify(value)) : utf8 + 2
  const request = quoted + 1
  // The way back is shorter than the way there: base64 and 28 bytes fall away.
  const response = direction === 'pseudonymize' ? 4 * Math.ceil((utf8 + OVERHEAD_BYTES) / 3) + SLACK_BYTES : request
  return { utf8, request, response }
}
