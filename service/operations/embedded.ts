import { PseudolakeError } from '../../lib/core/errors.ts'
import type { TextBatch } from '../../lib/core/texts.ts'
import type { Keyring } from '../../lib/crypto/keyring.ts'
import type { Direction } from '../../lib/wire/contract.ts'
import {
  type BytesOperationAnswer,
  type OperationAnswer,
  pseudonymize,
  pseudonymizeBytes,
  reidentify,
} from './operations.ts'
import type { RunOptions } from './run.ts'
import type { Threads } from './threads/threads.ts'

/** A request of the client stack (lib/client/pseudonymizer.ts), by its shape. */
export interface EmbeddedRequest {
  readonly direction: Direction
  readonly values: readonly string[]
  readonly domain: string
  readonly deterministic: boolean
  readonly key?: string
  readonly signal?: AbortSignal
}

export interface EmbeddedAnswer {
  readonly values: readonly string[]
  readonly domain: string
  readonly keys: readonly string[]
}

/**
 * The service as a function in this process, for the client's in-process transport. The same operations as over HTTP; its errors
 * are the operations' own (`keyring/*`, `identifier/invalid`, `pseudonym/invalid`).
 * @param pause lets others have the thread between slices of the work, as `setImmediate` of node:timers/promises does
 * @param threads that the keyring's kernels were opened with; without them this thread does everything
 */
export function embeddedService(
  keyring: Keyring,
  pause?: () => Promise<unknown>,
  threads?: Threads,
): (request: EmbeddedRequest) => Promise<EmbeddedAnswer> {
  return async (request) => {
    const options = optionsFor(request.signal, pause, threads)
    const { direction } = request
    return texts(await (direction === 'pseudonymize' ? pseudonymize : reidentify)(keyring, request, options))
  }
}

/** A request that goes forward, as bytes. */
export interface EmbeddedBytesRequest extends Omit<EmbeddedRequest, 'direction' | 'values'> {
  readonly direction: 'pseudonymize'
  readonly values: TextBatch
}

/** {@link embeddedService} from bytes to bytes, forward: no string is made of a value. */
export function embeddedBytes(
  keyring: Keyring,
  pause?: () => Promise<unknown>,
  threads?: Threads,
): (request: EmbeddedBytesRequest) => Promise<BytesOperationAnswer> {
  return async (request) => pseudonymizeBytes(keyring, request, optionsFor(request.signal, pause, threads))
}

function optionsFor(signal: AbortSignal | undefined, pause?: () => Promise<unknown>, threads?: Threads): RunOptions {
  signal?.throwIfAborted()
  return {
    pause: async () => {
      await pause?.()
      signal?.throwIfAborted()
    },
    threads,
  }
}

function texts({ values, domain, keys }: OperationAnswer): EmbeddedAnswer {
  if (!values.every((value) => value !== null))
    throw new PseudolakeError('internal/bug', 'a null in the answer to a request without one')
  return { values, domain, keys }
}
