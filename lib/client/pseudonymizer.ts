/**
 * Turns values into pseudonyms and back, in order. The client stack is a chain of these: each layer takes the next one and returns
 * the same port, so that a layer can be tested, left out or moved alone. The order and its reasons are in compose.ts.
 */
export interface Pseudonymizer {
  /**
   * @returns one value for each of `request.values`, same order, same length, never null
   * @throws PseudolakeError `service/*`: `throttled`, `unavailable` and `timeout` after the caller's budget, the others at once
   */
  call(request: PseudonymRequest): Promise<PseudonymAnswer>
}

export type Direction = 'pseudonymize' | 'reidentify'

export interface PseudonymRequest {
  readonly direction: Direction
  /** Well-formed Unicode; not empty where it is an identifier of a pipeline (those never send empty or null). */
  readonly values: readonly string[]
  /** Domain of the keyring. */
  readonly domain: string
  /** Same value, same pseudonym. Ignored by `reidentify`. */
  readonly deterministic: boolean
  /** Pins a key version; the domain's primary key where it is missing. */
  readonly key?: string
  readonly signal?: AbortSignal
}

export interface PseudonymAnswer {
  readonly values: readonly string[]
  /** Echoes of the service (`x-pseudolake-domain`, `x-pseudolake-key`); missing where the service sends none, as the Java one. */
  readonly domain?: string
  readonly keys?: readonly string[]
}
