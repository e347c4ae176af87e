import { expect, onTestFinished, test, vi } from 'vitest'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import { Stop } from '../../lib/core/stop.ts'
import { waitlessClock } from '../iceberg/clock.ts'

test('without a stop every pause is as long as it was asked for, and another try follows', async () => {
  const clock = waitlessClock()
  for (const signal of [undefined, new AbortController().signal]) {
    const stop = new Stop(clock, signal)
    expect(await stop.pause(100_000)).toBe(true)
    expect(stop.leftMs).toBe(Number.POSITIVE_INFINITY)
  }
  expect(clock.waits).toEqual([100_000, 100_000])
})

test('a stop ends the pause that is going on, and its try comes at once', async () => {
  const run = new AbortController()
  const stop = new Stop(systemClock(), run.signal)
  const paused = stop.pause(3_600_000)
  run.abort(new Error('SIGTERM'))
  expect(await paused).toBe(true)
  expect(await stop.pause(3_600_000)).toBe(false)
})

test('after a stop there are tries for five seconds, and none whose pause would end later', async () => {
  const run = new AbortController()
  const clock = waitlessClock()
  const stop = new Stop(clock, run.signal)
  run.abort(new Error('SIGTERM'))
  expect(await stop.pause(3_000)).toBe(true)
  expect(await stop.pause(3_000)).toBe(false)
  expect(await stop.pause(1_999)).toBe(true)
  expect(await stop.pause(2)).toBe(false)
  expect(clock.waits).toEqual([3_000, 1_999])
})

test('a clock that fails is no stop', async () => {
  const broken: Clock = { ...waitlessClock(), sleep: async () => Promise.reject(new Error('no timers')) }
  await expect(new Stop(broken, new AbortController().signal).pause(1)).rejects.toThrow('no timers')
})

test('a request ends when its patience does, and the patience when the run is told to stop', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const ends = (request: Promise<never>) => expect(request).rejects.toMatchObject({ name: 'TimeoutError' })
  const never = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  const run = new AbortController()
  const stop = new Stop(systemClock(), run.signal)
  const short = ends(stop.within(60_000, never))
  await vi.advanceTimersByTimeAsync(60_000)
  await short
  const waiting = ends(stop.within(60_000, never))
  run.abort(new Error('SIGTERM'))
  await vi.advanceTimersByTimeAsync(5_000)
  await waiting
  // What comes then is waited for too, and no longer.
  const later = ends(stop.within(60_000, never))
  await vi.advanceTimersByTimeAsync(5_000)
  await later
  expect(await stop.within(3_600_000, async () => 'answer')).toBe('answer')
})
