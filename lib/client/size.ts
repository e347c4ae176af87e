import { jsonSizes } from '../core/text-engine.ts'
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

// A pseudonym is the identifier's bytes with a nonce of 12 and a tag of 16 in base64; around it quotes, comma, the v2 prefix
// (`p2.` kid `.`), or a padding that Gson writes as \u003d twice.
const OVERHEAD_BYTES = 28
const SLACK_BYTES = 16
/** Of a value in a list, and the comma. */
export const QUOTES_BYTES = 3

/** @param value well-formed */
export function sizeOf(value: string, direction: Direction): WireSize {
  const bytes = Buffer.from(value)
  const [json = 0] = jsonSizes({ bytes, offsets: Uint32Array.of(0, bytes.length) })
  return { utf8: bytes.length, request: json + QUOTES_BYTES, response: responseBytes(bytes.length, json, direction) }
}

/** Bytes of an answer, at most. @param json bytes of the value in JSON, without its quotes */
export function responseBytes(utf8: number, json: number, direction: Direction): number {
  // The way back is shorter than the way there: base64 and 28 bytes fall away.
  return direction === 'pseudonymize' ? 4 * Math.ceil((utf8 + OVERHEAD_BYTES) / 3) + SLACK_BYTES : json + QUOTES_BYTES
}
