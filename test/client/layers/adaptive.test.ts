import { expect, test } from 'vitest'
import { type AdaptiveOptions, adaptive } from '../../../lib/client/layers/adaptive.ts'
import { emptyStats } from '../../../lib/client/stats.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { fakeNext, request, virtualClock } from '../support.ts'

const throttled = (context = {}) => new PseudolakeError('service/throttled', '429', context)

test('starts with 4 at a time and grows by one per window of successes, up to the limit', async () => {
  const { layer, limits, most } = setUp({ maxConcurrency: 8 })
  await many(layer, 200)
  // 4 successes, then 5, then 6, …
  expect(limits.slice(0, 10)).toEqual([4, 4, 4, 4, 5, 5, 5, 5, 5, 6])
  expect(layer.limit()).toBe(8)
  expect(most()).toBe(8)
})

test('a client that is not busy learns nothing', async () => {
  const { layer } = setUp({})
  for (let i = 0; i < 50; i++) await layer.call(request(['a']))
  expect(layer.limit()).toBe(4)
})

test.each([
  ['429', () => throttled()],
  ['a timeout', () => new PseudolakeError('service/timeout', 'late')],
  ['503 without Retry-After', () => new PseudolakeError('service/unavailable', '503', { status: 503 })],
])('halves on %s, once for all that were under way', async (_, error) => {
  const { clock } = virtualClock()
  const { next } = fakeNext(async () => {
    await clock.sleep(10)
    throw error()
  })
  const layer = adaptive(next, { clock, startConcurrency: 16 })
  const first = await Promise.allSettled(Array.from({ length: 16 }, () => layer.call(request(['a']))))
  expect(first.every(({ status }) => status === 'rejected')).toBe(true)
  expect(layer.limit()).toBe(8)
  await layer.call(request(['a'])).catch(() => {})
  expect(layer.limit()).toBe(4)
  for (let i = 0; i < 5; i++) await layer.call(request(['a'])).catch(() => {})
  expect(layer.limit()).toBe(1)
})

test.each(['service/refused', 'service/denied', 'service/bad-answer', 'service/unavailable'] as const)(
  '%s says nothing about load',
  async (code) => {
    const { clock } = virtualClock()
    const { next } = fakeNext(() => {
      throw new PseudolakeError(code, 'no', { status: 500 })
    })
    const layer = adaptive(next, { clock })
    await expect(layer.call(request(['a']))).rejects.toMatchObject({ code })
    expect(layer.limit()).toBe(4)
  },
)

test('finds what a service bears: refusals stay rare, and the service is kept busy', async () => {
  const { clock } = virtualClock()
  const bears = 10
  let running = 0
  let refused = 0
  let work = 0
  const { next } = fakeNext(async () => {
    if (running >= bears) {
      refused++
      throw throttled()
    }
    running++
    await clock.sleep(10)
    running--
    work += 10
  })
  const layer = adaptive(next, { clock })
  const started = clock.now()
  await Promise.all(
    Array.from({ length: 2000 }, async () => {
      while (!(await layer.call(request(['a'])).catch(() => undefined)));
    }),
  )
  expect(refused).toBeLessThan(300)
  // Of ten places at least half are in use on average; without learning it would be four at most.
  expect(work / (clock.now() - started)).toBeGreaterThan(5)
})

test('Retry-After holds back everybody, for ten seconds at most', async () => {
  const { clock } = virtualClock()
  const starts: number[] = []
  const { next } = fakeNext((_, nth) => {
    starts.push(clock.now())
    if (nth === 1) throw throttled({ retryAfterMs: 2000 })
    if (nth === 2) throw throttled({ retryAfterMs: 3_600_000 })
  })
  const stats = emptyStats()
  const layer = adaptive(next, { clock, stats })
  for (let i = 0; i < 4; i++) await layer.call(request(['a'])).catch(() => {})
  expect(starts).toEqual([0, 2000, 12_000, 12_000])
  expect(stats.throttled).toBe(2)
})

test('never starts more requests per second than allowed', async () => {
  const { clock } = virtualClock()
  const starts: number[] = []
  const { next } = fakeNext(() => {
    starts.push(clock.now())
  })
  const layer = adaptive(next, { clock, requestsPerSecond: 50, maxConcurrency: 8 })
  await many(layer, 200)
  for (const start of starts) {
    // A second's worth and what may start together.
    expect(starts.filter((other) => other >= start && other < start + 1000).length).toBeLessThanOrEqual(55)
  }
  expect(clock.now()).toBeGreaterThanOrEqual(3800)
  expect(clock.now()).toBeLessThan(4100)
})

test('an aborted caller leaves the line at once, and no timer stays behind', async () => {
  const { clock, pending } = virtualClock()
  const { next, asked } = fakeNext()
  const layer = adaptive(next, { clock, requestsPerSecond: 0.001 })
  await layer.call(request(['a']))
  const stop = new AbortController()
  const waiting = layer.call(request(['b'], { signal: stop.signal }))
  expect(pending()).toBe(1)
  stop.abort(new Error('stop'))
  expect(pending()).toBe(0)
  await expect(waiting).rejects.toThrow('stop')
  expect(asked).toHaveLength(1)
  await layer.call(request(['c']))
  expect(asked).toHaveLength(2)
})

test.each<[Partial<AdaptiveOptions>, string]>([
  [{ maxConcurrency: 0 }, 'maxConcurrency: expected an integer from 1, got 0'],
  [{ maxConcurrency: 2, startConcurrency: 3 }, 'startConcurrency: expected an integer from 1 to 2, got 3'],
  [{ requestsPerSecond: 0 }, 'requestsPerSecond: expected a number from 0.001, got 0'],
])('an option that cannot be is refused when the layer is made: %o', (options, message) => {
  const { clock } = virtualClock()
  expect(() => adaptive(fakeNext().next, { clock, ...options })).toThrow(message)
})

function setUp(options: Partial<AdaptiveOptions>) {
  const { clock } = virtualClock()
  const limits: number[] = []
  let running = 0
  let highest = 0
  const { next } = fakeNext(async () => {
    highest = Math.max(highest, ++running)
    await clock.sleep(10)
    running--
    limits.push(layer.limit())
  })
  const layer = adaptive(next, { clock, ...options })
  return { layer, limits, most: () => highest }
}

async function many(layer: { call(r: ReturnType<typeof request>): Promise<unknown> }, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => layer.call(request(['a']))))
}
