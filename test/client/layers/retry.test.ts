import { expect, test } from 'vitest'
import { retry } from '../../../lib/client/layers/retry.ts'
import { emptyStats } from '../../../lib/client/stats.ts'
import { type ErrorCode, PseudolakeError } from '../../../lib/core/errors.ts'
import { fakeNext, request, virtualClock } from '../support.ts'

const unavailable = (context = {}) => new PseudolakeError('service/unavailable', 'down', context)
const throttled = (context = {}) => new PseudolakeError('service/throttled', 'slower', context)

test('a failure is tried again, never sooner than the service asked', async () => {
  const { clock, waits } = virtualClock()
  const { next, asked } = failing(2, throttled({ retryAfterMs: 3000 }))
  const stats = emptyStats()
  await retry(next, { clock, random: () => 0.5, stats }).call(request(['a']))
  expect(asked).toHaveLength(3)
  expect(stats.retries).toBe(2)
  // Jitter on top: all who were told the same second must not come back in it together.
  expect(waits).toEqual([3100, 3200])
})

test('waits grow, with jitter, up to the limit', async () => {
  const { clock, waits } = virtualClock()
  const options = { clock, random: () => 1, baseDelayMs: 100, maxDelayMs: 300 }
  await retry(failing(4, unavailable()).next, options).call(request(['a']))
  expect(waits).toEqual([100, 200, 300, 300])
})

test('gives up after so many attempts, with the last failure and their number', async () => {
  const { clock } = virtualClock()
  const { next, asked } = failing(99, unavailable({ status: 500 }))
  const layer = retry(next, { clock, random: () => 0, maxAttempts: 3 })
  await expect(layer.call(request(['a']))).rejects.toMatchObject({
    code: 'service/unavailable',
    message: 'down (3 attempts)',
    context: { status: 500, attempts: 3 },
  })
  expect(asked).toHaveLength(3)
})

test('throttling is limited by the time budget alone, and never starts an attempt after it', async () => {
  const { clock } = virtualClock()
  const starts: number[] = []
  const { next } = fakeNext(() => {
    starts.push(clock.now())
    throw throttled({ retryAfterMs: 100 })
  })
  const layer = retry(next, { clock, random: () => 0, maxAttempts: 2, budgetMs: 5000 })
  await expect(layer.call(request(['a']))).rejects.toMatchObject({ code: 'service/throttled' })
  expect(starts).toHaveLength(51)
  expect(starts.at(-1)).toBe(5000)
})

test('the budget starts with the first failure: time in line before it is not counted', async () => {
  const { clock } = virtualClock()
  const { next } = fakeNext(async (_, nth) => {
    if (nth > 1) return
    await clock.sleep(60_000)
    throw unavailable()
  })
  await retry(next, { clock, random: () => 1, budgetMs: 1000 }).call(request(['a']))
})

test('a service that asks for more patience than the budget has is not waited for', async () => {
  const { clock, waits } = virtualClock()
  const layer = retry(failing(1, throttled({ retryAfterMs: 3_600_000 })).next, { clock, random: () => 0 })
  await expect(layer.call(request(['a']))).rejects.toMatchObject({ code: 'service/throttled' })
  expect(waits).toEqual([])
})

test.each<ErrorCode>([
  'service/bad-answer',
  'service/denied',
  'service/refused',
  'service/too-large',
  'identifier/invalid',
])('%s is final', async (code) => {
  const { clock, waits } = virtualClock()
  const { next, asked } = failing(1, new PseudolakeError(code, 'final'))
  await expect(retry(next, { clock, random: () => 0 }).call(request(['a']))).rejects.toMatchObject({ code })
  expect(asked).toHaveLength(1)
  expect(waits).toEqual([])
})

test('a bug is no reason to try again', async () => {
  const { clock } = virtualClock()
  const { next, asked } = failing(1, new TypeError('x is not a function'))
  await expect(retry(next, { clock, random: () => 0 }).call(request(['a']))).rejects.toThrow(TypeError)
  expect(asked).toHaveLength(1)
})

test('an abort ends the wait at once, with its reason', async () => {
  const { clock, pending } = virtualClock()
  const stop = new AbortController()
  const { next, asked } = fakeNext(() => {
    queueMicrotask(() => queueMicrotask(() => stop.abort(new Error('stop'))))
    throw unavailable()
  })
  const layer = retry(next, { clock, random: () => 1 })
  await expect(layer.call(request(['a'], { signal: stop.signal }))).rejects.toThrow('stop')
  expect(asked).toHaveLength(1)
  expect(pending()).toBe(0)
})

test('an attempt limit that is none is refused when the layer is made', () => {
  const { clock } = virtualClock()
  const make = () => retry(fakeNext().next, { clock, random: () => 0, maxAttempts: 0 })
  expect(make).toThrow('maxAttempts: expected an integer from 1, got 0')
})

function failing(times: number, error: Error) {
  return fakeNext((_, nth) => {
    if (nth <= times) throw error
  })
}
