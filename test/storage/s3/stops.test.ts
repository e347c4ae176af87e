import { expect, test } from 'vitest'
import type { Clock } from '../../../lib/core/clock.ts'
import { waitlessClock } from '../../iceberg/clock.ts'
import { always, bytes, SLOW, store } from './store.ts'

const AT = 's3://bucket/a'

/** A clock in whose sleep something happens. */
function during(sleep: (waits: number) => void): Clock & { readonly waits: number[] } {
  const clock = waitlessClock()
  return {
    ...clock,
    sleep: async (ms, signal) => {
      await clock.sleep(ms, signal)
      sleep(clock.waits.length)
    },
  }
}

test('who is told to stop in a storm of 503s tries for some seconds more, not for the two minutes of the budget', async () => {
  const run = new AbortController()
  const clock = during((waits) => {
    if (waits === 2) run.abort(new Error('SIGTERM'))
  })
  const { fake, storage } = await store({ fault: always('PutObject', SLOW) }, { clock, signal: run.signal })
  await expect(storage.create(AT, bytes('a'))).rejects.toMatchObject({ code: 'storage/failed' })
  const sinceStop = clock.waits.slice(2).reduce((sum, ms) => sum + ms, 0)
  expect(sinceStop).toBeGreaterThan(0)
  expect(sinceStop).toBeLessThanOrEqual(5_000)
  const tries = fake.count('PutObject')

  // What is asked after that, as the removal of what was written, is asked once while the storm lasts.
  clock.waits.length = 0
  await expect(storage.create(AT, bytes('a'))).rejects.toMatchObject({ code: 'storage/failed' })
  expect(fake.count('PutObject') - tries).toBeLessThanOrEqual(4)
  fake.fault = undefined
  await storage.create(AT, bytes('a'))
  await storage.delete(AT)
  expect(fake.buckets.get('bucket')?.objects.size).toBe(0)
})

test('a stop while the answer of a write is awaited leaves it known, where it can be known', async () => {
  const run = new AbortController()
  const { fake, storage } = await store({}, { signal: run.signal })
  let lost = 0
  fake.fault = ({ operation }) => {
    if (operation !== 'PutObject' || lost++ > 0) return undefined
    run.abort(new Error('SIGTERM'))
    return { kind: 'lost' }
  }
  // The answer is lost, the second try meets its own object, and that is no conflict.
  await expect(storage.create(AT, bytes('a'))).resolves.toMatchObject({ bytes: 1 })
})
