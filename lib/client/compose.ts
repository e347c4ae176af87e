import type { Clock } from '../core/clock.ts'
import { type BytesPseudonymizer, bytesOf, overBytes } from './bytes.ts'
import { type AdaptiveOptions, adaptive, DEFAULT_MAX_CONCURRENCY } from './layers/adaptive.ts'
import { type BatchOptions, batch } from './layers/batch.ts'
import { cache } from './layers/cache.ts'
import { dedupe } from './layers/dedupe.ts'
import { type RetryOptions, retry } from './layers/retry.ts'
import { validate } from './layers/validate.ts'
import type { Pseudonymizer, Transport } from './pseudonymizer.ts'
import { type ClientStats, emptyStats } from './stats.ts'

export interface ClientOptions {
  /** `limits.max_identifiers`. @default 900 */
  readonly maxIdentifiers?: number
  /** `limits.max_request_bytes`, of a request and of its answer. @default 4 MiB */
  readonly maxRequestBytes?: number
  /** `limits.max_concurrency`. @default 64 */
  readonly maxConcurrency?: number
  /** `limits.requests_per_second`. No limit where it is missing. */
  readonly requestsPerSecond?: AdaptiveOptions['requestsPerSecond']
  /** Bytes of answers kept; 0 keeps none. @default 64 MiB */
  readonly cacheBytes?: number
  readonly coalesce?: BatchOptions['coalesce']
  readonly retry?: Omit<RetryOptions, 'clock' | 'random' | 'stats'>
  readonly clock: Clock
  /** Uniform in [0, 1); spreads retries. */
  readonly random: () => number
}

export interface Client<P extends Pseudonymizer = Pseudonymizer> {
  readonly client: P
  /** A copy of the counters, and requests that may be under way now. */
  stats(): Readonly<ClientStats> & { readonly concurrency: number }
  /** Ends the transport's connections; calls under way fail. */
  close(): Promise<void>
}

/**
 * The client that every program uses: a transport under the layers, in the one order that works. From the caller down:
 *
 * Strings go down to `dedupe`; from `batch` on everything is bytes (bytes.ts). Bytes whose caller remembers answers itself (`once`) go to
 * `batch` as they are.
 *
 * 1. `cache` first: what is known costs nothing below. Only answers that passed every check get there.
 * 2. `dedupe` next, so that each value is on its way once, and batches are filled with values that are needed.
 * 3. `batch` above `retry`, so that one refused piece is tried again, not a whole call of many; a 413 comes through `retry` untouched
 *    and is bisected here.
 * 4. `retry` above `adaptive`: a request that waits for its next attempt holds no place that another could use, and each attempt
 *    waits its turn like any other.
 * 5. `adaptive` sees every attempt, because every attempt is load.
 * 6. `validate` sees what the transport brings, before anybody can keep it or share it; its refusals are final, so `retry` lets them by.
 */
export function composeClient(transport: Transport, options: ClientOptions): Client<BytesPseudonymizer> {
  const { clock, random } = options
  const stats = emptyStats()
  const maxConcurrency = options.maxConcurrency ?? DEFAULT_MAX_CONCURRENCY
  const checked = validate(counted(transport, stats))
  const paced = adaptive(checked, { maxConcurrency, requestsPerSecond: options.requestsPerSecond, clock, stats })
  const retried = retry(paced, { ...options.retry, clock, random, stats })
  const batched = batch(retried, {
    ...(options.maxIdentifiers !== undefined && { maxIdentifiers: options.maxIdentifiers }),
    ...(options.maxRequestBytes !== undefined && { maxRequestBytes: options.maxRequestBytes }),
    ...(options.coalesce !== undefined && { coalesce: options.coalesce }),
    maxInFlight: maxConcurrency,
    stats,
  })
  const client = cache(dedupe(batched, { stats }), {
    ...(options.cacheBytes !== undefined && { maxBytes: options.cacheBytes }),
    stats,
  })
  return {
    client,
    stats: () => ({ ...stats, concurrency: paced.limit() }),
    close: async () => transport.close?.(),
  }
}

function counted(next: Pseudonymizer, stats: ClientStats): BytesPseudonymizer {
  const ask = bytesOf(next)
  return overBytes(async (request) => {
    stats.requests++
    const answer = await ask(request)
    stats.identifiers += request.values.offsets.length - 1
    return answer
  })
}
