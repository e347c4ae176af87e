import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { cache } from '../../../lib/client/layers/cache.ts'
import { emptyStats } from '../../../lib/client/stats.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { fakeNext, pseudonym, request } from '../support.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

test('what was answered is not asked again, and order and repetitions are kept', async () => {
  const { next, values } = fakeNext()
  const stats = emptyStats()
  const layer = cache(next, { stats })
  await layer.call(request(['a', 'b']))
  const second = await layer.call(request(['c', 'b', 'a', 'b']))
  expect(second.values).toEqual(['c', 'b', 'a', 'b'].map((value) => pseudonym(value, 'default')))
  expect(values()).toEqual([['a', 'b'], ['c']])
  expect(stats.cacheHits).toBe(3)
})

test('an answer serves its own direction, domain and key only', async () => {
  const { next, asked } = fakeNext()
  const layer = cache(next)
  const text = pseudonym('a')
  await layer.call(request([text]))
  await layer.call(request([text], { direction: 'reidentify' }))
  await layer.call(request([text], { domain: 'vehicle' }))
  await layer.call(request([text], { key: 'abcd' }))
  expect(asked).toHaveLength(4)
  const back = await layer.call(request([text], { direction: 'reidentify' }))
  expect(back.values).toEqual(['a'])
  expect(asked).toHaveLength(4)
})

test('mode random is never answered from memory; the way back is, whatever its mode', async () => {
  const { next, asked } = fakeNext()
  const layer = cache(next)
  const first = await layer.call(request(['a'], { deterministic: false }))
  const second = await layer.call(request(['a'], { deterministic: false }))
  expect(second.values).not.toEqual(first.values)
  await layer.call(request([pseudonym('a')], { direction: 'reidentify', deterministic: false }))
  await layer.call(request([pseudonym('a')], { direction: 'reidentify', deterministic: true }))
  expect(asked).toHaveLength(3)
})

test('a fresh request reaches the service', async () => {
  const { next, asked } = fakeNext()
  const layer = cache(next)
  await layer.call(request(['a']))
  await layer.call(request(['a'], { fresh: true }))
  expect(asked).toHaveLength(2)
})

test('a failure is not remembered, and its place is a place in what the caller sent', async () => {
  const { next } = fakeNext((_, nth) => {
    if (nth === 2) throw new PseudolakeError('service/refused', 'no', { index: 1, indices: [0, 1] })
  })
  const layer = cache(next)
  await layer.call(request(['a', 'c']))
  await expect(layer.call(request(['a', 'b', 'c', 'd']))).rejects.toMatchObject({
    context: { index: 3, indices: [1, 3] },
  })
  expect((await layer.call(request(['d']))).values).toEqual([pseudonym('d', 'default')])
})

test('what is used stays, what is not goes first', async () => {
  const { next, values } = fakeNext()
  const stats = emptyStats()
  const layer = cache(next, { maxBytes: 20_000, stats })
  await layer.call(request(['often']))
  for (let i = 0; i < 1000; i++) {
    await layer.call(request([`once ${i}`]))
    await layer.call(request(['often']))
  }
  expect(values().filter(([value]) => value === 'often')).toHaveLength(1)
  expect(stats.evicted).toBeGreaterThan(900)
  await layer.call(request(['once 0']))
  expect(values().filter(([value]) => value === 'once 0')).toHaveLength(2)
})

test('the heap stays under the bound, whatever is asked: 60 MB of entries through 8 MB', {
  timeout: 30_000,
}, async () => {
  const bound = 8 * 1024 * 1024
  const text = 'ä€'.repeat(40)
  const layer = cache(
    { call: async ({ values }) => ({ values: values.map((value) => flat(`p:${value}`)) }) },
    { maxBytes: bound },
  )
  const before = liveBytes()
  const heights: number[] = []
  for (let round = 0; round < 20; round++) {
    await layer.call(request(Array.from({ length: 5000 }, (_, i) => flat(`${round} ${i} ${text}`))))
    heights.push(liveBytes() - before)
  }
  expect(Math.max(...heights)).toBeLessThan(bound)
  // And it is used: half of it at least, once it has been full.
  expect(Math.min(...heights.slice(10))).toBeGreaterThan(bound / 3)
})

test('0 bytes keep nothing; a bound that is none is refused with expected and got', async () => {
  const { next, asked } = fakeNext()
  const layer = cache(next, { maxBytes: 0 })
  await layer.call(request(['a']))
  await layer.call(request(['a']))
  expect(asked).toHaveLength(2)
  expect(() => cache(next, { maxBytes: -1 })).toThrow('maxBytes: expected an integer from 0, got -1')
})

/** Bytes that are reachable: the collector is called, or garbage would be counted. */
function liveBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}

/** A string of its own, as a parser makes it, not a rope of others. */
function flat(text: string): string {
  return Buffer.from(text).toString()
}
