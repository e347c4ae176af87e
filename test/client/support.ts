import { createHash } from 'node:crypto'
import type { PseudonymAnswer, Pseudonymizer, PseudonymRequest } from '../../lib/client/pseudonymizer.ts'
import type { Clock } from '../../lib/core/clock.ts'

/** A request as a pipeline makes it, with what the test is about on top. */
export function request(values: readonly string[], over: Partial<PseudonymRequest> = {}): PseudonymRequest {
  return { direction: 'pseudonymize', domain: 'default', deterministic: true, values, ...over }
}

/** A made-up pseudonym in v2 form, one to one and reversible; `salt` makes it another one. */
export function pseudonym(value: string, salt = ''): string {
  const head = createHash('sha256').update(`${salt}\0${value}`).digest().subarray(0, 28)
  return `p2.test.${Buffer.concat([head, Buffer.from(value)]).toString('base64url')}`
}

export function identifier(text: string): string {
  return Buffer.from(text.slice('p2.test.'.length), 'base64url').subarray(28).toString()
}

let calls = 0

/** What a right service answers. */
export function answer({ direction, values, deterministic, domain }: PseudonymRequest): PseudonymAnswer {
  if (direction === 'reidentify') return { values: values.map(identifier), domain, keys: ['test'] }
  return {
    values: values.map((value) => pseudonym(value, deterministic ? domain : `random ${++calls}`)),
    domain,
    keys: ['test'],
  }
}

/** A layer's `next` that remembers what it was asked, and answers, or does what `behave` does first. */
export function fakeNext(behave: (request: PseudonymRequest, nth: number) => unknown = () => undefined) {
  const asked: PseudonymRequest[] = []
  const next: Pseudonymizer = {
    async call(received) {
      asked.push(received)
      return ((await behave(received, asked.length)) as PseudonymAnswer | undefined) ?? answer(received)
    },
  }
  return { next, asked, values: () => asked.map(({ values }) => values) }
}

/**
 * Time that passes only when everybody waits for it: once the event loop has nothing else to do, it jumps to the next timer.
 * `waits` are the durations asked for, in order; `pending` the timers still running.
 */
export function virtualClock() {
  let time = 0
  const waits: number[] = []
  const timers = new Set<{ at: number; ring(): void }>()
  let drawn = false

  function draw(): void {
    if (drawn || timers.size === 0) return
    drawn = true
    setImmediate(() => {
      drawn = false
      const [first] = [...timers].sort((a, b) => a.at - b.at)
      if (first) {
        time = Math.max(time, first.at)
        timers.delete(first)
        first.ring()
      }
      draw()
    })
  }

  const clock: Clock = {
    now: () => time,
    wall: () => Date.UTC(2026, 0, 1) + time,
    sleep(ms, signal) {
      waits.push(ms)
      return new Promise((resolve, reject) => {
        const stop = () => {
          timers.delete(timer)
          reject(signal?.reason)
        }
        const timer = {
          at: time + ms,
          ring() {
            signal?.removeEventListener('abort', stop)
            resolve()
          },
        }
        if (signal?.aborted) {
          reject(signal.reason)
          return
        }
        signal?.addEventListener('abort', stop, { once: true })
        timers.add(timer)
        draw()
      })
    },
  }
  return { clock, waits, pending: () => timers.size }
}

/** Promises that the test settles itself. */
export function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { wait: promise, open: resolve }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
