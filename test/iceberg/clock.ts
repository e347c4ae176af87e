import type { Clock } from '../../lib/core/clock.ts'

/** A clock that never makes a test wait: sleeping moves it. `wall` starts at a fixed day and grows with every look. */
export function waitlessClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = []
  let time = 0
  return {
    waits,
    now: () => time,
    wall: () => 1_767_225_600_000 + ++time,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted()
      waits.push(ms)
      time += ms
      // Others get their turn, as they would while this one waits.
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}
