export const RECEIVE = Symbol('receive')

/**
 * Bodies that a connection can put where they are wanted. Through a stream each 64 KB are two buffers and two copies: 1.5 ms of CPU for a
 * megabyte, and 0.3 in this way (benchmarks/s3/lines.ts).
 */
export interface Receivable {
  /**
   * In the place of reading it as a stream, once, and before anything was read of it. Resolves when the body has ended or `into` is full.
   * @param onBytes told of what has come, in order
   * @throws Error of the connection; with code `TooLong` for a body that is longer than `into`, which ends the connection
   */
  [RECEIVE](into: Uint8Array, onBytes: (count: number) => void): Promise<void>
}

export function isReceivable(body: unknown): body is Receivable {
  return typeof (body as Partial<Receivable> | undefined)?.[RECEIVE] === 'function'
}
