import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import { bodyText } from '../../service/answers.ts'
import { createApp, type LogEntry, type ObservedCall } from '../../service/app.ts'
import type { Audit } from '../../service/audit/audit.ts'
import { everybody } from '../../service/auth.ts'
import { emf } from '../../service/emf.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { type StartOptions, startService } from '../../service/start.ts'
import { traceOf } from '../../service/trace.ts'
import { folder, open } from './keyrings.ts'

const ID = '0af7651916cd43dd8448eb211c80319c'
const PARENT = `00-${ID}-b7ad6b7169203331-01`
const XRAY = 'Root=1-58406520-a006649127e371903a2de979;Parent=53995c3f42cd8ad8;Sampled=1'

const trace = (headers: Record<string, string>) => traceOf((name) => headers[name])

test('a trace is told by W3C’s header or by X-Ray’s, and passed on as it came', () => {
  expect(trace({ traceparent: PARENT })).toEqual({ id: ID, headers: { traceparent: PARENT } })
  expect(trace({ 'x-amzn-trace-id': XRAY })).toEqual({
    id: '58406520a006649127e371903a2de979',
    headers: { 'x-amzn-trace-id': XRAY },
  })
  expect(trace({ traceparent: PARENT, 'x-amzn-trace-id': XRAY })).toEqual({
    id: ID,
    headers: { traceparent: PARENT, 'x-amzn-trace-id': XRAY },
  })
  const self = 'Self=1-67891234-12456789abcdef012345678;Lineage=a:1;Root=1-58406520-a006649127e371903a2de979'
  expect(trace({ 'x-amzn-trace-id': self })?.headers).toEqual({
    'x-amzn-trace-id': 'Root=1-58406520-a006649127e371903a2de979',
  })
})

test.each([
  {},
  { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` },
  { traceparent: `00-${ID}-${'0'.repeat(16)}-01` },
  { traceparent: `ff-${ID}-b7ad6b7169203331-01` },
  { traceparent: PARENT.toUpperCase() },
  { traceparent: `${PARENT}-x` },
  { 'x-amzn-trace-id': 'Root=PLANTED' },
  { 'x-amzn-trace-id': `Root=1-58406520-a006649127e371903a2de979${'x'.repeat(600)}` },
])('what is no trace is none: %j', (headers) => {
  expect(trace(headers as Record<string, string>)).toBeUndefined()
})

test('whatever a header says, of a trace only hex digits and its own words are kept', () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom('Root', '=', ';', '1-58406520-a006649127e371903a2de979', 'Sampled=1', PARENT),
  )
  const text = fc.array(part).map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, text, (traceparent, xray) => {
      const found = trace({ traceparent, 'x-amzn-trace-id': xray })
      for (const value of Object.values(found?.headers ?? {}))
        expect(value).toMatch(
          /^(?:[0-9a-f-]{55}|Root=1-[0-9a-f]{8}-[0-9a-f]{24}(?:;Parent=[0-9a-f]{16})?(?:;Sampled=[01])?)$/,
        )
    }),
    { numRuns: 2000 },
  )
})

const call: ObservedCall = {
  route: 'pseudonymize',
  status: 200,
  code: undefined,
  seconds: 0.0123456,
  values: 900,
  requestId: 'r1',
  traceId: ID,
}

test('a call is a line of CloudWatch’s embedded format: every metric that it names has a value, and every dimension', () => {
  const lines: string[] = []
  const observe = emf({ write: (line) => lines.push(line), now: () => 1234.5, dimensions: { service: 'vehicles' } })
  observe(call)
  observe({ ...call, status: 429, code: 'request/throttled', values: undefined, traceId: undefined })
  observe({ ...call, status: 403 })
  observe({ ...call, status: 503 })
  const documents = lines.map((line) => JSON.parse(line))
  for (const { _aws, ...fields } of documents) {
    expect(_aws.Timestamp).toBe(1235)
    for (const { Namespace, Dimensions, Metrics } of _aws.CloudWatchMetrics) {
      expect(Namespace).toBe('pseudolake')
      for (const dimension of Dimensions.flat()) expect(typeof fields[dimension]).toBe('string')
      for (const { Name } of Metrics) expect(typeof fields[Name]).toBe('number')
    }
  }
  expect(documents[0]).toMatchObject({ Requests: 1, Values: 900, Duration: 12.346, Failed: 0, trace_id: ID })
  const counted = documents.map(({ Refused, Throttled, Failed }) => [Refused, Throttled, Failed])
  expect(counted).toEqual([
    [0, 0, 0],
    [0, 1, 0],
    [1, 0, 0],
    [0, 0, 1],
  ])
  expect(documents[1]).toMatchObject({ code: 'request/throttled', Values: 0 })
  expect(documents[1]).not.toHaveProperty('trace_id')
})

async function running(options: Partial<StartOptions> = {}) {
  const keyring = join(folder(), 'keys.json')
  await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
  const logged: LogEntry[] = []
  const observed: ObservedCall[] = []
  const service = await startService({
    keyring,
    auth: { insecureNoAuth: true },
    log: (entry) => void logged.push(entry),
    observe: (call) => void observed.push(call),
    ...options,
  })
  onTestFinished(() => service.close())
  const post = (body: string, headers: Record<string, string> = {}) =>
    fetch(`${service.url}/pseudonymization`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    })
  const metric = async (name: string) => {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  }
  return { ...service, logged, observed, post, metric }
}

test('a call’s trace is in the log, in its answer and in what observers are told, and no other header is', async () => {
  const { post, logged, observed, url } = await running()
  const answer = await post('{"identifiers":["A"]}', {
    traceparent: PARENT,
    'x-amzn-trace-id': XRAY,
    tracestate: 'PLANTED=1',
  })
  expect([answer.headers.get('traceparent'), answer.headers.get('x-amzn-trace-id')]).toEqual([PARENT, XRAY])
  expect((await post('nothing', { 'x-amzn-trace-id': 'PLANTED' })).headers.get('x-amzn-trace-id')).toBeNull()
  await fetch(`${url}/health`)
  const requests = logged.filter(({ event }) => event === 'request')
  expect(requests.map(({ trace_id, status, code }) => [trace_id, status, code])).toEqual([
    [ID, 200, undefined],
    [undefined, 400, 'request/malformed'],
  ])
  expect(observed.map(({ traceId, values, code }) => [traceId, values, code])).toEqual([
    [ID, 1, undefined],
    [undefined, undefined, 'request/malformed'],
  ])
  expect(JSON.stringify([logged, observed])).not.toContain('PLANTED')
})

test('metrics tell refusals by their code, how much of the record is anchored, and what the process uses', async () => {
  const { post, metric } = await running()
  await post('nothing')
  await post('{"identifiers":["A"]}')
  expect(await metric('pseudolake_refusals_total\\{code="request/malformed"\\}')).toBe(1)
  expect(await metric('pseudolake_audit_entries_total')).toBe(2)
  expect(await metric('pseudolake_audit_unanchored_entries')).toBe(2)
  expect(await metric('pseudolake_anchor_failures_total')).toBe(0)
  expect(await metric('pseudolake_anchor_time_seconds')).toBeGreaterThan(1.7e9)
  expect(await metric('process_resident_memory_bytes')).toBeGreaterThan(1e7)
  expect(await metric('process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(await metric('process_start_time_seconds')).toBeGreaterThan(1.7e9)
})

test('health says that it lives, readiness whether calls should be sent here: not while it drains', async () => {
  let drained: () => void = () => undefined
  const clock: Clock = {
    ...systemClock(),
    // The minute of the anchors never comes; draining ends when it is told to.
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
        if (ms === 5000) drained = resolve
        else if (ms < 5000) resolve()
      }),
  }
  const { url, post, close } = await running({ clock, drainMs: 5000 })
  const ask = async (path: string) => {
    const response = await fetch(url + path)
    return [response.status, await response.json()]
  }
  expect(await ask('/ready')).toEqual([200, { status: 'ready' }])
  expect(await ask('/Dev/ready')).toEqual([200, { status: 'ready' }])
  const closing = close()
  expect(await ask('/ready')).toEqual([503, { status: 'draining' }])
  expect(await ask('/health')).toEqual([200, { status: 'ok' }])
  expect((await post('{"identifiers":["A"]}')).status).toBe(200)
  drained()
  await closing
  await expect(fetch(`${url}/ready`)).rejects.toThrow()
})

test('a service that can’t put calls on record, or has too much to do, is not ready', async () => {
  let broken = false
  const audit: Audit = {
    record: async () => (broken ? Promise.reject(new Error('full')) : undefined),
    seal: async () => ({ chain: '', n: 0, hash: '' }),
    close: async () => undefined,
  }
  let release: () => void = () => undefined
  const app = createApp({
    keyring: open(),
    identify: everybody(),
    audit,
    clock: systemClock(),
    requestId: () => 'r',
    pause: async () => undefined,
    log: () => undefined,
    maxInFlight: 1,
  })
  const ask = async (method: string, path: string, body = async () => Buffer.from('{"identifiers":[]}')) => {
    const answer = await app.handle({ method, path, search: '', header: () => undefined, body })
    return [answer.status, JSON.parse(bodyText(answer)).status ?? 200]
  }
  broken = true
  await ask('POST', '/pseudonymization')
  expect(await ask('GET', '/ready')).toEqual([503, 'audit'])
  broken = false
  await ask('POST', '/pseudonymization')
  expect(await ask('GET', '/ready')).toEqual([200, 'ready'])
  const slow = ask(
    'POST',
    '/pseudonymization',
    () => new Promise((resolve) => (release = () => resolve(Buffer.from('{"identifiers":[]}')))),
  )
  expect(await ask('GET', '/ready')).toEqual([503, 'busy'])
  release()
  await slow
  expect(await ask('GET', '/ready')).toEqual([200, 'ready'])
})
