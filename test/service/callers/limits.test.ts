import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Caller, Period } from '../../../service/auth.ts'
import { periodOf, quotas, usageLimits } from '../../../service/limits.ts'
import { callerLimits, parseUsage } from '../../../service/usage.ts'
import { folder } from '../keyrings.ts'

const caller = (name: string, more: Partial<Caller> = {}): Caller => ({
  name,
  permissions: new Set(['pseudonymize']),
  domains: undefined,
  until: undefined,
  ...more,
})
const at = (time: string) => Date.parse(time)

test('a day, a week from Monday and a month end in UTC', () => {
  const of = (per: Period, time: string) => {
    const { label, endsMs } = periodOf(per, at(time))
    return [label, new Date(endsMs).toISOString()]
  }
  expect(of('day', '2026-02-28T23:59:59.999Z')).toEqual(['day 2026-02-28', '2026-03-01T00:00:00.000Z'])
  expect(of('week', '2026-11-22T12:00:00Z')).toEqual(['week 2026-11-16', '2026-11-23T00:00:00.000Z'])
  expect(of('week', '2026-11-23T00:00:00Z')).toEqual(['week 2026-11-23', '2026-11-30T00:00:00.000Z'])
  expect(of('month', '2026-12-31T23:00:00Z')).toEqual(['2026-12', '2027-01-01T00:00:00.000Z'])
})

test('a quota is used up until its period ends, then there is a new one', () => {
  const counted = quotas({ a: { period: 'day 2026-11-26', requests: 1 }, b: { period: 'day 2026-11-25', requests: 9 } })
  const take = (name: string, time: string) => counted.take(name, { requests: 2, per: 'day' }, at(time)).waitMs
  expect(take('a', '2026-11-26T22:00:00Z')).toBe(0)
  expect(take('a', '2026-11-26T23:00:00Z')).toBe(3_600_000)
  expect(take('b', '2026-11-26T23:00:00Z')).toBe(0)
  expect(take('a', '2026-11-27T00:00:00Z')).toBe(0)
  expect(counted.usage().a).toEqual({ period: 'day 2026-11-27', requests: 1 })
})

test('a caller’s own rate goes before that of all, and what it refuses is not counted against the quota', () => {
  const counted = quotas()
  const limit = usageLimits(counted, { perSecond: 1, burst: 1 })
  const own = caller('own', { rate: { perSecond: 0.5, burst: 3 }, quota: { requests: 4, per: 'month' } })
  const wall = at('2026-11-30T23:59:00Z')
  const codes = (who: Caller, ...ms: number[]) => ms.map((now) => limit(who, now, wall + now)?.code)
  expect(codes(own, 0, 0, 0, 0)).toEqual([undefined, undefined, undefined, 'request/throttled'])
  expect(counted.usage().own?.requests).toBe(3)
  expect(codes(own, 2000, 4000)).toEqual([undefined, 'request/quota'])
  expect(limit(own, 6000, wall + 6000)).toEqual({ code: 'request/quota', retryAfterSeconds: 54 })
  expect(codes(caller('other'), 0, 0)).toEqual([undefined, 'request/throttled'])
  expect(usageLimits(quotas(), undefined)(caller('free'), 0, 0)).toBeUndefined()
})

test('what was used outlives the process, in a file without keys', async () => {
  const file = join(folder(), 'usage.json')
  const metered = caller('a', { quota: { requests: 3, per: 'month' } })
  const wall = at('2026-11-26T12:00:00Z')
  const run = async (times: number) => {
    const { limit, close } = await callerLimits(file, undefined, () => undefined)
    const codes = Array.from({ length: times }, () => limit(metered, 0, wall)?.code)
    await close()
    return codes
  }
  expect(await run(2)).toEqual([undefined, undefined])
  expect(await run(2)).toEqual([undefined, 'request/quota'])
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    version: 1,
    callers: { a: { period: '2026-11', requests: 3 } },
  })
})

test('a record of usage that is none, or newer, stops the start', async () => {
  const file = join(folder(), 'usage.json')
  for (const text of ['', '{}', '[]', '{"version":2,"callers":{}}', '{"version":1,"callers":{"a":{"period":1}}}']) {
    writeFileSync(file, text)
    await expect(callerLimits(file, undefined, () => undefined)).rejects.toMatchObject({ code: 'config/invalid' })
  }
})

test('whatever its text, a record of usage is read or refused', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.jsonValue().map((callers) => JSON.stringify({ version: 1, callers })),
      ),
      (text) => {
        const usage = parseUsage(text)
        for (const { requests } of Object.values(usage ?? {})) expect(Number.isSafeInteger(requests)).toBe(true)
      },
    ),
    { numRuns: 1000 },
  )
})

test('a record that can’t be written is told', async () => {
  const dir = folder()
  const file = join(dir, 'none', 'usage.json')
  const failures: unknown[] = []
  const { limit, close } = await callerLimits(file, undefined, (error) => void failures.push(error))
  limit(caller('a', { quota: { requests: 3, per: 'day' } }), 0, 0)
  await close()
  expect(failures).toHaveLength(1)
})
