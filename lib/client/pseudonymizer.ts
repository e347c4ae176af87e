import type { TextBatch } from '../core/texts.ts'
import type { Direction } from '../wire/contract.ts'

/**
 * Turns values into pseudonyms and back, in order. The client stack is a chain of these: each layer takes the next one and returns
 * the same port, so that a layer can be tested, left out or moved alone. The order and its reasons are in compose.ts.
 */
export interface Pseudonymizer {
  /**
   * @returns one value for each of `request.values`, same order, same length, never null
   * @throws PseudolakeError `service/*`: `throttled`, `unavailable` and `timeout` after the caller's budget, the others at once;
   *   where single values are at fault, `context.index` or `context.indices` are their places in `request.values`.
   *   The signal's reason once it is aborted.
   */
  call(request: PseudonymRequest): Promise<PseudonymAnswer>
  /**
   * The same from bytes to bytes, where no string need be made; missing where there is no shorter way (bytes.ts).
   * @returns buffers that are the caller's from then on: nobody else has any use for them
   */
  callBytes?(request: BytesRequest): Promise<BytesAnswer>
}

/** The last link of the chain: what reaches a service. `close` ends its connections; calls under way fail. */
export interface Transport extends Pseudonymizer {
  close?(): Promise<void>
}

export type { Direction, TextBatch }

/** What is asked of values, whatever they are. */
export interface Question {
  readonly direction: Direction
  /** Domain of the keyring. */
  readonly domain: string
  /** Same value, same pseudonym. Ignored by `reidentify`. */
  readonly deterministic: boolean
  /** Pins a key version; the domain's primary key where it is missing. */
  readonly key?: string
  /** Asks the service itself, whatever cache and dedupe know. @default false */
  readonly fresh?: boolean
  /** The caller keeps answers itself, and has none of these values under way: cache and dedupe would cost more than they save. @default false */
  readonly once?: boolean
  readonly signal?: AbortSignal
}

export interface PseudonymRequest extends Question {
  /** Well-formed Unicode; not empty where it is an identifier of a pipeline (those never send empty or null). */
  readonly values: readonly string[]
}

export interface BytesRequest extends Question {
  /** UTF-8, which must stay as it is until the answer is there. */
  readonly values: TextBatch
}

export interface Echo {
  /**
   * Echoes of the service (`x-pseudolake-domain`, `x-pseudolake-key`); missing where the service sends none, as the Java one, and
   * where no request was needed. Several requests for one call: the keys of all of them.
   */
  readonly domain?: string
  readonly keys?: readonly string[]
}

export interface PseudonymAnswer extends Echo {
  readonly values: readonly string[]
}

export interface BytesAnswer extends Echo {
  readonly values: TextBatch
}

/** Which requests may share an answer or a connection's request: same direction, domain, key and mode. */
export function groupOf(request: Question): string {
  const mode = request.direction === 'reidentify' || request.deterministic ? '' : 'random'
  return `${request.direction}\0${request.domain}\0${request.key ?? ''}\0${mode}`
}

/** True where nobody may keep or share the answer, or need: the same value has another one in mode random. */
export function passesBy(request: Question): boolean {
  const repeatable = request.direction === 'reidentify' || request.deterministic
  return request.fresh === true || request.once === true || !repeatable
}
