/**
 * What `limits.memory_mb` leaves for what a stream holds. A process that reads a stream takes some 200 MB before it holds anything worth a share: Node,
 * the code, a second thread of an embedded service, answers that are being read. Of a large limit the shares of a batch run leave as much
 * by themselves; of a small one they are taken from what is left. Pure.
 */

/** What a process kept to by a fifth less, under full load (test/regression/memory-stream.test.ts). */
export const LEAST_MEMORY_MB = 320
/** From here on the shares are those of the limit itself. */
const ENOUGH_MB = 512
const LEAST_SHARED_MB = 64

/** The limit that shares are taken of. @param limitMb of `LEAST_MEMORY_MB` at least */
export function sharedMb(limitMb: number): number {
  if (limitMb >= ENOUGH_MB) return limitMb
  const part = (limitMb - LEAST_MEMORY_MB) / (ENOUGH_MB - LEAST_MEMORY_MB)
  return Math.floor(LEAST_SHARED_MB + part * (ENOUGH_MB - LEAST_SHARED_MB))
}

/** By how much V8's heap may grow between two collections, in percent; undefined where there is no need to say. */
export function heapGrowthPercent(limitMb: number): number | undefined {
  if (limitMb >= ENOUGH_MB) return undefined
  return limitMb >= (LEAST_MEMORY_MB + ENOUGH_MB) / 2 ? 100 : 50
}
