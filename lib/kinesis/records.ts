/** A record as its producer meant it, taken out of its aggregate where it was in one. Pure. */

export interface StreamRecord {
  /** Id of the shard that it was read from. */
  readonly shard: string
  /** Decimal text, 56 digits and more. Records of one aggregate share it. */
  readonly sequence: string
  /** Index in its aggregate; 0 for a record of its own. */
  readonly sub: number
  /** Approximate arrival, milliseconds since 1970. */
  readonly arrivalMs: number
  readonly partitionKey: string
  /** May be part of a larger buffer, which lives as long as this does. */
  readonly data: Uint8Array
}

/**
 * Orders two sequence numbers of one shard: below 0 where `a` comes first. Beyond 2^53 neither numbers nor texts are in their order; for
 * decimals without leading zeros, which is what Kinesis gives, the longer one is the greater one.
 */
export function compareSequences(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : a > b ? 1 : 0
}

/** Whether a text can be a sequence number: a decimal without leading zeros. */
export function isSequence(text: unknown): text is string {
  return typeof text === 'string' && /^(?:0|[1-9][0-9]{0,127})$/.test(text)
}
