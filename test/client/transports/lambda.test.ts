import { expect, test } from 'vitest'
import { composeClient } from '../../../lib/client/compose.ts'
import { type Invocation, type LambdaOptions, lambdaTransport } from '../../../lib/client/transports/lambda.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { waitlessClock } from '../../iceberg/clock.ts'
import { answer, request } from '../support.ts'

const ARN = 'arn:aws:lambda:eu-west-1:123456789012:function:pseudonymize'

interface Event {
  readonly httpMethod: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly queryStringParameters: Record<string, string> | null
  readonly body: string
}

const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const reply = (statusCode: number, body: unknown, headers: Record<string, string> = {}): Invocation => ({
  payload: bytes({ statusCode, headers, body: typeof body === 'string' ? body : JSON.stringify(body) }),
})

/** A function that answers rightly, unless `behave` does. */
function called(
  behave: (event: Event, nth: number) => Invocation | undefined = () => undefined,
  options: Partial<LambdaOptions> = {},
) {
  const events: Event[] = []
  const transport = lambdaTransport({
    name: ARN,
    clock: systemClock(),
    invoke: async (text) => {
      const event = JSON.parse(text) as Event
      events.push(event)
      const given = behave(event, events.length)
      if (given) return given
      const direction = event.path.endsWith('reidentification') ? 'reidentify' : 'pseudonymize'
      const { identifiers, pseudonyms } = JSON.parse(event.body)
      const domain = event.queryStringParameters?.domain ?? 'default'
      const deterministic = event.queryStringParameters?.deterministic === 'True'
      const got = answer(request(identifiers ?? pseudonyms, { direction, domain, deterministic }))
      return reply(
        200,
        { [direction === 'reidentify' ? 'identifiers' : 'pseudonyms']: got.values },
        { 'X-Pseudolake-Domain': String(got.domain), 'X-Pseudolake-Key': String(got.keys?.join(',')) },
      )
    },
    ...options,
  })
  return { transport, events }
}

test('the event is the one that API Gateway makes of a request', async () => {
  const { transport, events } = called(undefined, { apiKey: async () => 'the-key' })
  const asked = request(['a', 'ü"\\'], { domain: 'vehicle', deterministic: true })
  expect(await transport.call(asked)).toEqual(answer(asked))
  expect(events[0]).toMatchObject({
    resource: '/pseudonymization',
    path: '/pseudonymization',
    httpMethod: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'the-key' },
    queryStringParameters: { deterministic: 'True', domain: 'vehicle' },
    isBase64Encoded: false,
  })
  expect(JSON.parse(events[0]?.body ?? '')).toEqual({ identifiers: ['a', 'ü"\\'] })
})

test('the way back has no query where it needs none, and no key where there is none', async () => {
  const { transport, events } = called()
  const asked = request(['a'])
  const { values } = await transport.call(asked)
  const back = await transport.call(request(values, { direction: 'reidentify' }))
  expect(back.values).toEqual(['a'])
  expect(events[1]).toMatchObject({ path: '/reidentification', queryStringParameters: null })
  expect(events[1]?.headers).not.toHaveProperty('x-api-key')
  expect(events[1]?.headers).not.toHaveProperty('x-pseudolake-purpose')
})

test('what it is for goes with the way back alone', async () => {
  const { transport, events } = called(undefined, { purpose: 'recall' })
  const { values } = await transport.call(request(['a']))
  await transport.call(request(values, { direction: 'reidentify' }))
  expect(events.map(({ headers }) => headers['x-pseudolake-purpose'])).toEqual([undefined, 'recall'])
})

test('an answer in base64 is read', async () => {
  const { transport } = called(() => ({
    payload: bytes({ statusCode: 200, body: bytes({ pseudonyms: ['p'] }).toString('base64'), isBase64Encoded: true }),
  }))
  expect((await transport.call(request(['a']))).values).toEqual(['p'])
})

const PLANTED = 'PLANTED-7f3a'
const failed = (errorType: string): Invocation => ({
  functionError: 'Unhandled',
  payload: bytes({ errorType, errorMessage: `could not map ${PLANTED}`, stackTrace: [PLANTED] }),
})

test.each<[string, Invocation, string]>([
  ['throws', failed('java.lang.RuntimeException'), 'service/unavailable'],
  ['runs out of memory', failed('Runtime.ExitError'), 'service/unavailable'],
  ['runs out of time', failed('Sandbox.Timedout'), 'service/timeout'],
  ['makes too large an answer', failed('Function.ResponseSizeTooLarge'), 'service/too-large'],
  ['fails with a type that quotes', failed(`no ${PLANTED}`), 'service/unavailable'],
  ['fails without JSON', { functionError: 'Unhandled', payload: bytes(PLANTED) }, 'service/unavailable'],
  ['answers 403', reply(403, { message: PLANTED }), 'service/denied'],
  ['answers 429', reply(429, { message: PLANTED }, { 'Retry-After': '2' }), 'service/throttled'],
  ['answers 413', reply(413, { message: PLANTED }), 'service/too-large'],
  [
    'answers 422',
    reply(422, { code: 'identifier/invalid', errors: [{ index: 0, code: 'identifier/invalid' }], detail: PLANTED }),
    'service/refused',
  ],
  ['answers 500', reply(500, PLANTED), 'service/unavailable'],
  ['answers no JSON', reply(200, PLANTED), 'service/bad-answer'],
  ['answers without its field', reply(200, { values: [PLANTED] }), 'service/bad-answer'],
  ['answers what is no proxy answer', { payload: bytes({ pseudonyms: [PLANTED] }) }, 'service/bad-answer'],
  ['answers nothing', { payload: bytes('null') }, 'service/bad-answer'],
])('a function that %s', async (_, invocation, code) => {
  const { transport } = called(() => invocation)
  const error = await transport.call(request(['a'])).then(
    () => expect.unreachable(),
    (e: PseudolakeError) => e,
  )
  expect(error).toMatchObject({ code })
  expect(JSON.stringify([error.message, error.context, error.stack, String(error.cause)])).not.toContain(PLANTED)
  if (code === 'service/throttled') expect(error.context.retryAfterMs).toBe(2000)
})

test('an event that Lambda would refuse is not sent, and comes in two halves', async () => {
  const { transport, events } = called()
  const values = Array.from({ length: 100 }, (_, i) => `${i}-${'x'.repeat(65_000)}`)
  await expect(transport.call(request(values))).rejects.toMatchObject({ code: 'service/too-large' })
  expect(events).toEqual([])
  const { client } = composeClient(transport, {
    maxRequestBytes: 16 * 2 ** 20,
    clock: waitlessClock(),
    random: () => 0.5,
  })
  const asked = request(values)
  expect((await client.call(asked)).values).toEqual(answer(asked).values)
  expect(events.length).toBe(2)
})

test('throttling of the platform waits and goes on', async () => {
  let calls = 0
  const { transport } = called(() => {
    if (++calls < 4) throw new PseudolakeError('service/throttled', 'x', { retryAfterMs: 1000 })
    return undefined
  })
  const { client, stats } = composeClient(transport, { clock: waitlessClock(), random: () => 0.5 })
  expect((await client.call(request(['a']))).values.length).toBe(1)
  expect(stats()).toMatchObject({ retries: 3, throttled: 3 })
})

test('a call that takes too long is ended, and so is one whose caller leaves', async () => {
  const hanging = (ended: (reason: unknown) => void): Partial<LambdaOptions> => ({
    timeoutMs: 20,
    invoke: (_, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          ended(signal.reason)
          reject(new Error('aborted'))
        }),
      ),
  })
  let ends = 0
  await expect(
    called(
      undefined,
      hanging(() => ends++),
    ).transport.call(request(['a'])),
  ).rejects.toMatchObject({
    code: 'service/timeout',
  })
  const leaving = new AbortController()
  const call = called(undefined, { ...hanging(() => ends++), timeoutMs: 60_000 }).transport.call({
    ...request(['a']),
    signal: leaving.signal,
  })
  await new Promise((resolve) => setImmediate(resolve))
  leaving.abort(new Error('left'))
  await expect(call).rejects.toThrow('left')
  expect(ends).toBe(2)
})
