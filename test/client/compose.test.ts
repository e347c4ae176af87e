import type { ServerResponse } from 'node:http'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ClientOptions, composeClient } from '../../lib/client/compose.ts'
import { keyCheck } from '../../lib/client/key-check.ts'
import type { PseudonymRequest } from '../../lib/client/pseudonymizer.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { answer, fakeNext, pseudonym, request, settle, virtualClock } from './support.ts'
import { serve, transportTo } from './transports/server.ts'

const p = (value: string) => pseudonym(value, 'default')
const numbers = (count: number) => Array.from({ length: count }, (_, i) => `VIN${i}`)

test('10,000 distinct values among a million need 12 requests, and none the second time', async () => {
  const { next, asked } = fakeNext()
  const { client, stats } = compose(next)
  const distinct = numbers(10_000)
  for (let chunk = 0; chunk < 20; chunk++) {
    const values = Array.from({ length: 50_000 }, (_, i) => distinct[(i * 7 + chunk) % 10_000] as string)
    const got = await client.call(request(values))
    expect(got.values[49_999]).toBe(p(values[49_999] as string))
  }
  expect(asked).toHaveLength(12)
  expect(stats()).toMatchObject({ requests: 12, identifiers: 10_000, distinct: 10_000, retries: 0, evicted: 0 })
})

test('whatever is asked, side by side, of a service that fails now and then: right answers, in order, each value asked once', async () => {
  const value = fc.oneof(
    fc.integer({ max: 40, min: 0 }).map((i) => `v${i}`),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
  )
  const call = fc.record({
    values: fc.array(value, { maxLength: 60 }),
    back: fc.boolean(),
    domain: fc.constantFrom('default', 'vehicle'),
    pause: fc.integer({ min: 0, max: 2 }),
  })
  const limits = fc.record({
    maxIdentifiers: fc.integer({ min: 1, max: 20 }),
    maxRequestBytes: fc.integer({ min: 64, max: 600 }),
    maxConcurrency: fc.integer({ min: 1, max: 5 }),
    coalesce: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(call, { maxLength: 6 }),
      limits,
      fc.integer({ min: 2, max: 9 }),
      async (calls, options, every) => {
        const answered: PseudonymRequest[] = []
        let running = 0
        let most = 0
        const { next, asked } = fakeNext(async (received, nth) => {
          most = Math.max(most, ++running)
          if (nth % 2) await settle()
          running--
          if (nth % every === 0) throw new PseudolakeError('service/unavailable', 'now and then')
          if (received.values.join('').length > 200 && received.values.length > 1) {
            throw new PseudolakeError('service/too-large', '413')
          }
          answered.push(received)
        })
        const { client, stats } = compose(next, { ...options, retry: { maxAttempts: 1000, budgetMs: 1e9 } })
        const got = await Promise.all(
          calls.map(async ({ values, back, domain, pause }) => {
            for (let i = 0; i < pause; i++) await settle()
            const sent = back ? values.map((each) => pseudonym(each, domain)) : values
            return (await client.call(request(sent, { domain, direction: back ? 'reidentify' : 'pseudonymize' })))
              .values
          }),
        )
        const right = calls.map(({ values, back, domain }) =>
          back ? values : values.map((each) => pseudonym(each, domain)),
        )
        expect(got).toEqual(right)
        for (const { values, direction } of asked) {
          expect(values.length).toBeLessThanOrEqual(options.maxIdentifiers)
          const body = JSON.stringify({ [direction === 'pseudonymize' ? 'identifiers' : 'pseudonyms']: values })
          if (values.length > 1) expect(Buffer.byteLength(body)).toBeLessThanOrEqual(options.maxRequestBytes)
        }
        expect(most).toBeLessThanOrEqual(options.maxConcurrency)
        const once = answered.flatMap(({ values, domain, direction }) =>
          values.map((each) => `${direction} ${domain} ${each}`),
        )
        expect(new Set(once).size).toBe(once.length)
        expect(stats()).toMatchObject({ requests: asked.length, identifiers: once.length, distinct: once.length })
      },
    ),
    { numRuns: 100 },
  )
})

test('a value that is asked at the very moment of its answer is not asked again, whichever turn that is', async () => {
  for (let turns = 0; turns < 60; turns++) {
    const late: Promise<unknown>[] = []
    const { next, asked } = fakeNext((received) => {
      // Runs as many microtasks after the answer as `turns` says: in some of them dedupe is done and the cache has nothing yet.
      let left = turns
      const later = () => {
        if (left-- > 0) queueMicrotask(later)
        else late.push(client.call(request(received.values)))
      }
      if (asked.length === 1) queueMicrotask(later)
    })
    const { client } = compose(next)
    await client.call(request(['a']))
    await settle()
    await Promise.all(late)
    expect(late).toHaveLength(1)
    expect(asked).toHaveLength(1)
  }
})

test('mode random gives every cell a pseudonym of its own, through the whole stack', async () => {
  const { next } = fakeNext()
  const { client } = compose(next)
  const cells = Array.from({ length: 2000 }, () => 'the same')
  const got = await client.call(request(cells, { deterministic: false }))
  expect(new Set(got.values).size).toBe(2000)
})

test('a storm of 429 over HTTP: everything is answered once it is over, and the service had rest meanwhile', async () => {
  let running = 0
  const service = await serve(async (_, response, nth) => {
    running++
    await new Promise((resolve) => setTimeout(resolve, 2))
    if (running > 3 || nth <= 30) response.writeHead(429).end('{"message":"Too Many Requests"}')
    running--
  })
  const { client, stats } = compose(
    transportTo(service.url),
    { maxIdentifiers: 10, retry: { baseDelayMs: 5 } },
    systemClock(),
  )
  const all = numbers(600)
  expect((await client.call(request(all))).values).toEqual(all.map(p))
  const seen = stats()
  expect(seen.requests).toBe(service.received.length)
  expect(seen.throttled).toBe(seen.retries)
  expect(seen.identifiers).toBe(600)
  expect(seen.requests).toBeGreaterThanOrEqual(90)
})

test('a service with a limit of its own over HTTP: 413 is bisected, the next call is not refused', async () => {
  const service = await serve(({ body }, response) => {
    if (body.length > 2000) response.writeHead(413).end()
  })
  const { client, stats } = compose(transportTo(service.url), {}, systemClock())
  const all = numbers(800)
  expect((await client.call(request(all))).values).toEqual(all.map(p))
  const { bisected } = stats()
  expect(bisected).toBeGreaterThan(0)
  await client.call(request(numbers(1600).slice(800)))
  expect(stats().bisected).toBe(bisected)
})

test.each([
  ['service/unavailable', 30_000, (response: ServerResponse) => response.destroy()],
  ['service/timeout', 20, (response: ServerResponse) => new Promise((resolve) => response.on('close', resolve))],
] as const)(
  'a service that is down or slow ends in %s, after the attempts allowed',
  async (code, timeoutMs, behave) => {
    const service = await serve((_, response) => behave(response))
    const options = { retry: { maxAttempts: 3, baseDelayMs: 1 } }
    const { client, stats } = compose(transportTo(service.url, { timeoutMs }), options, systemClock())
    await expect(client.call(request(['a']))).rejects.toMatchObject({ code, context: { attempts: 3 } })
    expect(stats().requests).toBe(3)
  },
)

test('an echo of the identifiers is refused at once, and never reaches the cache', async () => {
  const service = await serve(({ body }, response, nth) => {
    if (nth === 1) response.end(JSON.stringify({ pseudonyms: JSON.parse(body).identifiers }))
  })
  const { client, stats } = compose(transportTo(service.url), {}, systemClock())
  await expect(client.call(request(['a']))).rejects.toMatchObject({ code: 'service/bad-answer' })
  expect(stats()).toMatchObject({ requests: 1, retries: 0 })
  expect((await client.call(request(['a']))).values).toEqual([p('a')])
})

test('an abort ends everything at once: queue, waits and requests', async () => {
  const service = await serve((_, response) => new Promise((resolve) => response.on('close', resolve)))
  const { client } = compose(transportTo(service.url), { maxIdentifiers: 1 }, systemClock())
  const stop = new AbortController()
  const call = client.call(request(numbers(500), { signal: stop.signal }))
  await expect.poll(() => service.received.length, { timeout: 4000 }).toBe(4)
  stop.abort(new Error('stop'))
  await expect(call).rejects.toThrow('stop')
  await settle()
  expect(service.received).toHaveLength(4)
})

test('after close a call fails, and close may come twice', async () => {
  const service = await serve()
  const { client, close } = compose(transportTo(service.url), { retry: { maxAttempts: 1 } }, systemClock())
  await client.call(request(['a']))
  await close()
  await close()
  await expect(client.call(request(['b']))).rejects.toMatchObject({ code: 'service/unavailable' })
})

test('a limit that cannot be is refused when the client is made', () => {
  expect(() => compose(fakeNext().next, { maxIdentifiers: 0 })).toThrow('maxIdentifiers')
  expect(() => compose(fakeNext().next, { maxConcurrency: 1.5 })).toThrow('maxConcurrency')
  expect(() => compose(fakeNext().next, { cacheBytes: -1 })).toThrow('maxBytes')
})

test('the key check asks the service itself, each time, and tells fingerprint, format and echoes', async () => {
  const { next, asked } = fakeNext()
  const { client } = compose(next)
  await client.call(request(['pseudolake key check']))
  const first = await keyCheck(client, 'default')
  expect(first).toEqual({
    // printf %s 'p2.test.A3GZwBITNU7G1QsiEDWJXJ-PLRmzR45WAa6IAHBzZXVkb2xha2Uga2V5IGNoZWNr' | sha256sum | cut -c1-16
    fingerprint: '5454aca29a347eb4',
    format: 'v2',
    domain: 'default',
    key: 'test',
  })
  expect(await keyCheck(client, 'default', 'test')).toEqual(first)
  expect((await keyCheck(client, 'vehicle')).fingerprint).not.toBe(first.fingerprint)
  expect(asked).toHaveLength(4)
})

test('the key check of the original service has no echoes', async () => {
  const original = Buffer.alloc(48, 1).toString('base64')
  const { next } = fakeNext(() => ({ values: [original] }))
  expect(await keyCheck(compose(next).client, 'default')).toEqual({
    fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
    format: 'original',
  })
  await expect(keyCheck(compose(next).client, 'vehicle')).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test('answers that pass do so for the request they were made for', async () => {
  const { next } = fakeNext((received) => answer({ ...received, domain: 'vehicle' }))
  await expect(compose(next).client.call(request(['a']))).rejects.toThrow('made in another domain')
})

function compose(
  transport: Parameters<typeof composeClient>[0],
  options: Partial<ClientOptions> = {},
  clock = virtualClock().clock,
) {
  return composeClient(transport, { clock, random: () => 0.5, ...options })
}
