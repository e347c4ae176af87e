import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bodyText } from '../../service/answers.ts'
import { createApp, type LogEntry } from '../../service/app.ts'
import { fileAudit } from '../../service/audit/file.ts'
import { everybody } from '../../service/auth.ts'
import { rateLimit } from '../../service/limits.ts'
import { folder, open } from './keyrings.ts'

const clock = { now: () => 0, wall: () => 0, sleep: async () => undefined }

test('whatever the body, the answer is whole or a problem, and never a failure of the service', async () => {
  const audit = await fileAudit(folder(), { now: () => 0, randomBytes })
  const logged: LogEntry[] = []
  const app = createApp({
    keyring: open(),
    identify: everybody(),
    audit,
    clock,
    requestId: () => 'r',
    pause: async () => undefined,
    log: (entry) => void logged.push(entry),
  })
  const json = fc.json({ depthSize: 'small' })
  const listed = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue(), fc.constant('\ud800')), {
    maxLength: 4,
  })
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    json.map((text) => Buffer.from(text)),
    fc
      .tuple(
        fc.constantFrom('identifiers', 'pseudonyms', '__proto__'),
        listed,
        fc.nat(),
        fc.constantFrom('', ',', '"', '{', ']'),
      )
      .map(([field, list, at, insert]) => {
        const text = JSON.stringify({ [field]: list })
        return Buffer.from(text.slice(0, at % text.length) + insert + text.slice(at % text.length))
      }),
  )
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom('/pseudonymization', '/reidentification'), async (bytes, path) => {
      const answer = await app.handle({
        method: 'POST',
        path,
        search: '?deterministic=True',
        header: () => undefined,
        body: async () => bytes,
      })
      expect([200, 400, 422]).toContain(answer.status)
      if (answer.status !== 200) return
      const sent = JSON.parse(bytes.toString())
      const [there, here] = path === '/pseudonymization' ? ['identifiers', 'pseudonyms'] : ['pseudonyms', 'identifiers']
      const got: (string | null)[] = JSON.parse(bodyText(answer))[here as string]
      expect(got.map((value) => value === null)).toEqual(sent[there as string].map((value: unknown) => value === null))
    }),
    { numRuns: 400 },
  )
  await audit.close()
  expect(logged.filter((entry) => entry.level === 'error')).toEqual([])
})

test('a caller gets its rate, and what it did not use for a second at most', () => {
  const limit = rateLimit()
  const at = (ms: number) => limit('a', { perSecond: 2, burst: 2 }, ms).waitMs
  expect([at(0), at(0), at(0), at(250), at(500)]).toEqual([0, 0, 500, 250, 0])
  expect([at(60_000), at(60_000), at(60_000)]).toEqual([0, 0, 500])
  expect(limit('b', { perSecond: 2, burst: 2 }, 60_000).waitMs).toBe(0)
})
