import { expect, test } from 'vitest'
import { dedupe } from '../../../lib/client/layers/dedupe.ts'
import { emptyStats } from '../../../lib/client/stats.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { fakeNext, gate, pseudonym, request, settle } from '../support.ts'

const p = (value: string) => pseudonym(value, 'default')

test('a value that comes often is asked once, and answered everywhere', async () => {
  const { next, values } = fakeNext()
  const stats = emptyStats()
  const { values: got } = await dedupe(next, { stats }).call(request(['a', 'b', 'a', 'a']))
  expect(got).toEqual([p('a'), p('b'), p('a'), p('a')])
  expect(values()).toEqual([['a', 'b']])
  expect(stats).toMatchObject({ distinct: 2, shared: 2 })
})

test('a value that is on its way already is awaited, not asked', async () => {
  const service = gate()
  const { next, values } = fakeNext(() => service.wait)
  const layer = dedupe(next)
  const first = layer.call(request(['a', 'b']))
  const second = layer.call(request(['c', 'b']))
  const third = layer.call(request(['b', 'a']))
  await settle()
  expect(values()).toEqual([['a', 'b'], ['c']])
  service.open()
  expect((await first).values).toEqual([p('a'), p('b')])
  expect((await second).values).toEqual([p('c'), p('b')])
  expect((await third).values).toEqual([p('b'), p('a')])
})

test('nothing is remembered once it is answered: that is the cache’s work', async () => {
  const { next, asked } = fakeNext()
  const layer = dedupe(next)
  await layer.call(request(['a']))
  await settle()
  await layer.call(request(['a']))
  expect(asked).toHaveLength(2)
})

test('mode random asks for each cell, fresh asks again, and domains do not share', async () => {
  const service = gate()
  const { next, values } = fakeNext(() => service.wait)
  const layer = dedupe(next)
  const all = [
    layer.call(request(['a', 'a'], { deterministic: false })),
    layer.call(request(['a'])),
    layer.call(request(['a'], { fresh: true })),
    layer.call(request(['a'], { domain: 'vehicle' })),
  ]
  service.open()
  const [random] = await Promise.all(all)
  expect(new Set(random?.values).size).toBe(2)
  expect(values()).toEqual([['a', 'a'], ['a'], ['a'], ['a']])
})

test('a caller that leaves costs the others nothing', async () => {
  const service = gate()
  const { next, asked } = fakeNext(() => service.wait)
  const layer = dedupe(next)
  const impatient = new AbortController()
  const first = layer.call(request(['a'], { signal: impatient.signal }))
  const second = layer.call(request(['a']))
  await settle()
  impatient.abort(new Error('stop'))
  await expect(first).rejects.toThrow('stop')
  service.open()
  expect((await second).values).toEqual([p('a')])
  expect(asked).toHaveLength(1)
})

test('when the last caller has left, the request is ended, and who comes then asks anew', async () => {
  const { next, asked } = fakeNext(({ signal }, nth) =>
    nth > 1
      ? undefined
      : new Promise((_, reject) => signal?.addEventListener('abort', () => setImmediate(reject, signal.reason))),
  )
  const layer = dedupe(next)
  const one = new AbortController()
  const two = new AbortController()
  const calls = [one, two].map(({ signal }) => layer.call(request(['a'], { signal })))
  await settle()
  one.abort(new Error('one'))
  await expect(calls[0]).rejects.toThrow('one')
  expect(asked[0]?.signal?.aborted).toBe(false)
  two.abort(new Error('two'))
  expect(asked[0]?.signal?.aborted).toBe(true)
  expect((await layer.call(request(['a']))).values).toEqual([p('a')])
  await expect(calls[1]).rejects.toThrow('two')
})

test('a bad value fails its own caller, at its own place; who waited for its neighbours gets them', async () => {
  const { next, values } = fakeNext(async ({ values }) => {
    await settle()
    const index = values.indexOf('bad')
    if (index >= 0) throw new PseudolakeError('service/refused', 'no', { status: 422, indices: [index] })
  })
  const layer = dedupe(next)
  const first = layer.call(request(['a', 'a', 'b', 'bad']))
  const second = layer.call(request(['c', 'b']))
  const third = layer.call(request(['x', 'bad', 'x', 'b']))
  await expect(first).rejects.toMatchObject({ context: { indices: [3] } })
  expect((await second).values).toEqual([p('c'), p('b')])
  await expect(third).rejects.toMatchObject({ context: { indices: [1] } })
  expect(values()).toEqual([['a', 'b', 'bad'], ['c'], ['x'], ['b'], ['bad', 'b']])
})

test('what is wrong with the service is told to all who wait for it, and asked again by the next', async () => {
  const { next, asked } = fakeNext(async (_, nth) => {
    await settle()
    if (nth === 1) throw new PseudolakeError('service/unavailable', 'down')
  })
  const layer = dedupe(next)
  const calls = [layer.call(request(['a'])), layer.call(request(['a']))]
  for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'service/unavailable' })
  expect((await layer.call(request(['a']))).values).toEqual([p('a')])
  expect(asked).toHaveLength(2)
})
