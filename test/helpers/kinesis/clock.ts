import type { Clock } from '../../../lib/core/clock.ts'

/** 2026-01-01T00:00:00Z. */
const BEGIN_MS = 1_767_225_600_000

/**
 * Time that passes when nobody has anything else to do: the next sleeper wakes at once, and it is as late as it wanted. Not for what waits for
 * a network, which would be asleep for hours meanwhile.
 */
export function virtualClock(): Clock & { advance(ms: number): void } {
  let time = 0
  const sleepers: { readonly at: number; readonly wake: () => void }[] = []
  let pumping = false

  async function pump(): Promise<void> {
    pumping = true
    while (sleepers.length > 0) {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      const next = sleepers.reduce<(typeof sleepers)[number] | undefined>(
        (first, one) => (first === undefined || one.at < first.at ? one : first),
        undefined,
      )
      if (next === undefined) break
      time = Math.max(time, next.at)
      sleepers.splice(sleepers.indexOf(next), 1)
      next.wake()
    }
    pumping = false
  }

  return {
    now: () => time,
    wall: () => BEGIN_MS + time,
    advance(ms) {
      time += ms
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const sleeper = { at: time + ms, wake: resolve }
        signal?.addEventListener(
          'abort',
          () => {
            const index = sleepers.indexOf(sleeper)
            if (index >= 0) sleepers.splice(index, 1)
            reject(signal.reason)
          },
          { once: true },
        )
        sleepers.push(sleeper)
        if (!pumping) void pump()
      }),
  }
}
