import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { bodyText } from '../../service/answers.ts'
import { type Befallen, emulated } from '../../service/emulator/emulate.ts'
import { environments } from '../../service/emulator/environments.ts'
import { type Emulation, LAMBDA, readEmulation } from '../../service/emulator/options.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import type { App, ServiceAnswer, ServiceRequest } from '../../service/service.ts'
import { startService } from '../../service/start.ts'
import { folder } from './keyrings.ts'

describe('settings', () => {
  test('are read by name, the last of a name counts, and the others are AWS’s own', () => {
    const given = [
      'concurrency=5',
      'latency=3ms',
      'cold-start=1.5s',
      'idle=2m',
      'faults=.01',
      'resets=0',
      'throttle-status=500',
      'concurrency=7',
    ]
    expect(readEmulation(given)).toEqual({
      ...LAMBDA,
      concurrency: 7,
      latencyMs: 3,
      coldStartMs: 1500,
      idleMs: 120_000,
      faults: 0.01,
      throttleStatus: 500,
    })
    expect(readEmulation([])).toEqual(LAMBDA)
  })

  test.each([
    '',
    'x',
    'concurency=5',
    'concurrency',
    'concurrency=0',
    'concurrency=1.5',
    'latency=-1ms',
    'latency=3h',
    'faults=1.5',
    'throttle-status=503',
    'rate=0',
    'seed=x',
    '__proto__=1',
  ])('refused: %s', (setting) => {
    expect(() => readEmulation([setting])).toThrow(expect.objectContaining({ code: 'options/invalid' }))
  })

  test('whatever is set, it is read or refused', () => {
    const setting = fc.oneof(
      fc.string(),
      fc.tuple(fc.constantFrom('latency', 'faults', 'seed', 'rate'), fc.string()).map((pair) => pair.join('=')),
    )
    fc.assert(
      fc.property(setting, (text) => {
        try {
          for (const value of Object.values(readEmulation([text]))) expect(Number.isFinite(value)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(PseudolakeError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

test('environments are reused, the last one first, added up to the limit, and gone when idle for long', () => {
  const places = environments(2, 1000)
  const [a, b] = [places.acquire(0), places.acquire(0)]
  expect([a?.cold, b?.cold, places.acquire(0)]).toEqual([true, true, undefined])
  a?.release(10)
  a?.release(11)
  expect(places.acquire(20)?.cold).toBe(false)
  b?.release(30)
  expect(places.count(1029)).toBe(2)
  expect(places.count(1030)).toBe(1)
  expect(places.acquire(1030)?.cold).toBe(true)
  expect(places.acquire(1030)).toBeUndefined()
})

/** Time that passes when somebody waits for it, to the next one that is waited for. */
function virtualClock() {
  let now = 0
  const waiting: { at: number; wake: () => void }[] = []
  return {
    now: () => now,
    wall: () => now,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const one = { at: now + ms, wake: resolve }
        waiting.push(one)
        signal?.addEventListener('abort', () => {
          waiting.splice(waiting.indexOf(one) >>> 0, 1)
          reject(signal.reason)
        })
      }),
    /** Lets `ms` pass, and all that is to happen in it. */
    async pass(ms: number) {
      const end = now + ms
      for (;;) {
        for (let i = 0; i < 20; i++) await Promise.resolve()
        const next = waiting.sort((x, y) => x.at - y.at)[0]
        if (!next || next.at > end) break
        now = next.at
        waiting.shift()
        next.wake()
      }
      now = end
    },
  }
}

const REQUEST: ServiceRequest = {
  method: 'POST',
  path: '/Dev/pseudonymization',
  search: '',
  header: () => undefined,
  body: async () => Buffer.from('{"identifiers":[]}'),
}
const OK: ServiceAnswer = { status: 200, headers: {}, body: '{"pseudonyms":[]}' }

function setup(
  settings: Partial<Emulation>,
  answer: (request: ServiceRequest) => Promise<ServiceAnswer> = async () => OK,
) {
  const clock = virtualClock()
  const told: Befallen[] = []
  let calls = 0
  const app: App = {
    drain: () => undefined,
    handle(request) {
      calls++
      return answer(request)
    },
  }
  const lambda = emulated(app, { ...LAMBDA, coldStartMs: 0, ...settings }, clock, (what) => void told.push(what))
  /** When it was answered and how; or that the connection was lost. */
  const ask = async (more: Partial<ServiceRequest> = {}) => {
    try {
      const answer = await lambda.handle({ ...REQUEST, ...more })
      const type = answer.headers['x-amzn-errortype']
      return { at: clock.now(), status: answer.status, type, body: JSON.parse(bodyText(answer)) }
    } catch {
      return { at: clock.now(), status: 0, type: undefined, body: undefined }
    }
  }
  return { clock, told, ask, lambda, calls: () => calls }
}

test('above the reserved concurrency a request is a 429 as AWS spells it, or the 500 of a REST API', async () => {
  for (const [throttleStatus, message, type] of [
    [429, 'Too Many Requests', 'TooManyRequestsException'],
    [500, 'Internal server error', 'InternalServerErrorException'],
  ] as const) {
    const { ask, clock, told, calls } = setup({ concurrency: 2, throttleStatus }, async () => {
      await clock.sleep(100)
      return OK
    })
    const answers = [ask(), ask(), ask()]
    await clock.pass(100)
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, throttleStatus])
    expect(await answers[2]).toMatchObject({ at: 0, type, body: { message } })
    expect(Object.keys((await answers[2])?.body)).toEqual(['message'])
    const next = ask()
    await clock.pass(100)
    expect((await next).status).toBe(200)
    expect([told.filter((what) => what === 'throttled').length, calls()]).toEqual([1, 3])
  }
})

test('the first request of an environment waits for its start, others don’t, and after a rest it is cold again', async () => {
  const { ask, clock, told } = setup({ coldStartMs: 250, idleMs: 1000 })
  const times = []
  for (const rest of [0, 0, 600, 2000]) {
    await clock.pass(rest)
    const before = clock.now()
    const answer = ask()
    await clock.pass(300)
    times.push((await answer).at - before)
  }
  expect(times).toEqual([250, 0, 0, 250])
  expect(told).toEqual(['cold-start', 'cold-start'])
})

test('what takes longer than the gateway waits is a 504, and holds its environment until it is done', async () => {
  const { ask, clock, calls } = setup({ concurrency: 1 }, async () => {
    await clock.sleep(40_000)
    return OK
  })
  const slow = ask()
  await clock.pass(29_000)
  expect(await slow).toMatchObject({ at: 29_000, status: 504, body: { message: 'Endpoint request timed out' } })
  expect((await ask()).status).toBe(429)
  await clock.pass(12_000)
  const next = ask()
  await clock.pass(30_000)
  expect([(await next).status, calls()]).toEqual([504, 2])
})

test('a body or an event that is too large is a 413, an answer that is too large a 502', async () => {
  const text = (bytes: number) => async () => Buffer.from(`{"identifiers":["${'x'.repeat(bytes)}"]}`)
  const { ask, calls } = setup({})
  expect((await ask({ body: async () => 'request/too-large' })).body).toEqual({ message: 'Request Too Long' })
  expect((await ask({ body: text(6_000_000) })).status).toBe(200)
  expect((await ask({ body: text(6_291_456) })).status).toBe(413)
  // Each quote of the body is two bytes in the event.
  const quotes = async () => Buffer.from(`{"identifiers":["a",${'"",'.repeat(1_900_000)}"b"]}`)
  expect((await ask({ body: quotes })).status).toBe(413)
  expect(calls()).toBe(1)
  const large = setup({}, async () => ({ ...OK, body: `{"pseudonyms":[${'"",'.repeat(1_500_000)}""]}` }))
  expect(await large.ask()).toMatchObject({ status: 502, body: { message: 'Internal server error' } })
})

test('paths that a gateway does not have are its own 403; health, readiness and metrics are as ever', async () => {
  const { ask, calls } = setup({ concurrency: 1, rate: 0.001, burst: 1 })
  expect(await ask({ path: '/' })).toMatchObject({ status: 403, body: { message: 'Missing Authentication Token' } })
  for (const path of ['/health', '/ready', '/metrics', '/health']) expect((await ask({ path })).status).toBe(200)
  expect(calls()).toBe(4)
})

test('the stage has a rate of its own', async () => {
  const { ask, clock } = setup({ rate: 10, burst: 2 })
  const statuses = async (n: number) => {
    const all = []
    for (let i = 0; i < n; i++) all.push((await ask()).status)
    return all
  }
  expect(await statuses(3)).toEqual([200, 200, 429])
  await clock.pass(100)
  expect(await statuses(2)).toEqual([200, 429])
})

test('faults, lost connections and latencies come as often as is said, and by the seed', async () => {
  const run = async (settings: Partial<Emulation>) => {
    const { ask, clock, calls, told } = setup({ latencyMs: 10, spread: 0.5, faults: 0.2, resets: 0.1, ...settings })
    const statuses: number[] = []
    const times: number[] = []
    for (let i = 0; i < 2000; i++) {
      const before = clock.now()
      const answer = ask()
      await clock.pass(1000)
      const { status, at } = await answer
      statuses.push(status)
      times.push(at - before)
    }
    return { statuses, times: times.sort((a, b) => a - b), calls: calls(), told }
  }
  const first = await run({})
  const share = (status: number) => first.statuses.filter((s) => s === status).length / 2000
  expect(share(502)).toBeGreaterThan(0.17)
  expect(share(502)).toBeLessThan(0.23)
  expect(share(0)).toBeGreaterThan(0.06)
  expect(share(0)).toBeLessThan(0.11)
  // Half of the faults come before the work, the others after it.
  expect(first.calls / 2000).toBeGreaterThan(0.88)
  expect(first.calls / 2000).toBeLessThan(0.92)
  expect(first.times[1000]).toBeGreaterThan(9)
  expect(first.times[1000]).toBeLessThan(11)
  expect((await run({})).statuses).toEqual(first.statuses)
  expect((await run({ seed: 2 })).statuses).not.toEqual(first.statuses)
}, 30_000)

test('a service that emulates does so over HTTP, and counts what it did', async () => {
  const keyring = join(folder(), 'keys.json')
  await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
  const emulation = { ...LAMBDA, coldStartMs: 0, resets: 0.5 }
  const { url, close } = await startService({ keyring, auth: { insecureNoAuth: true }, emulation })
  onTestFinished(close)
  const outcomes = []
  for (let i = 0; i < 20; i++)
    outcomes.push(
      await fetch(`${url}/pseudonymization`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"identifiers":["A"]}',
      }).then(
        async (response) => ((await response.json()) as { pseudonyms: string[] }).pseudonyms.length,
        () => 'lost',
      ),
    )
  const lost = outcomes.filter((outcome) => outcome === 'lost').length
  expect(new Set(outcomes)).toEqual(new Set([1, 'lost']))
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).toContain(`pseudolake_emulated_total{what="reset"} ${lost}\n`)
  expect(metrics).toContain('pseudolake_emulated_total{what="cold-start"} 1\n')
})
