/**
 * When a shard may be asked again. Its limits are five requests and 2 MiB a second, for all its consumers together; after an answer of 10 MiB
 * further requests are refused for five seconds (Kinesis Data Streams, "Quotas and limits"): the same 2 MiB a second. Pure.
 */

export interface Pace {
  /** Between two requests to one shard that has more. @default 250 */
  readonly busyMs: number
  /** Between two requests to one shard that is caught up. @default 1000 */
  readonly idleMs: number
  /** @default 2_097_152 */
  readonly bytesPerSecond: number
  /** Upper bound of the first wait after a refusal; doubles with each further one. @default 250 */
  readonly backoffMs: number
  /** @default 10_000 */
  readonly maxBackoffMs: number
}

export const DEFAULT_PACE: Pace = {
  busyMs: 250,
  idleMs: 1000,
  bytesPerSecond: 2 * 1024 * 1024,
  backoffMs: 250,
  maxBackoffMs: 10_000,
}

/** Milliseconds from one request to the next of the same shard. @param answer.more whether the shard is known to hold more */
export function nextAfter(answer: { readonly bytes: number; readonly more: boolean }, pace: Pace): number {
  return Math.max(answer.more ? pace.busyMs : pace.idleMs, (answer.bytes / pace.bytesPerSecond) * 1000)
}

/** Full jitter, and not at once: shards that were refused together must not come back together. @param failures in a row, from 1 */
export function backoff(failures: number, pace: Pace, random: () => number): number {
  const most = Math.min(pace.maxBackoffMs, pace.backoffMs * 2 ** Math.min(failures, 20))
  return most * (0.1 + 0.9 * random())
}
