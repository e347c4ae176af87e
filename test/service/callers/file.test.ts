import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import { parseCallers, writeCallers } from '../../../service/callers/file.ts'
import { importGatewayKeys } from '../../../service/callers/gateway.ts'
import { grantReidentify } from '../../../service/callers/grant.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const FORWARD = { name: 'a', key_sha256: sha256('k'), permissions: ['pseudonymize'] as const }
const strict = (...callers: object[]) => JSON.stringify({ version: 2, callers })

test('the way back is granted only with purposes and an end', () => {
  const back = { ...FORWARD, permissions: ['pseudonymize', 'reidentify'] as const }
  const whole = { ...back, purposes: ['fraud-case'], until: '2027-01-31' }
  expect(parseCallers(strict(whole)).callers[0]).toMatchObject({
    permissions: new Set(['pseudonymize', 'reidentify']),
    purposes: new Set(['fraud-case']),
    until: Date.UTC(2027, 0, 31),
  })
  for (const { purposes, until, ...rest } of [whole])
    for (const part of [rest, { ...rest, purposes }, { ...rest, until }, { ...rest, purposes: [], until }])
      expect(() => parseCallers(strict(part))).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})

test('the older form, a bare list, stands as it is, and says which grants have no bounds', () => {
  const back = { ...FORWARD, permissions: ['reidentify'] }
  const { callers, unboundGrants } = parseCallers(
    JSON.stringify([
      FORWARD,
      { ...back, name: 'b', key_sha256: sha256('b'), until: '2999-01-01' },
      { ...back, name: 'c', key_sha256: sha256('c'), until: '2999-01-01', purposes: ['x'] },
    ]),
  )
  expect(callers).toHaveLength(3)
  expect(unboundGrants).toEqual(['b'])
})

test.each<[string, RegExp]>([
  ['{"version":3,"callers":[]}', /version: expected 2/],
  ['{"version":2,"callers":[],"x":1}', /none of version, callers/],
  [strict(), /one caller at least/],
  [strict({ ...FORWARD, key_sha256: undefined }), /64 hex digits, or a principal/],
  [strict({ ...FORWARD, principal: '*' }), /\[0\]\.principal/],
  [strict({ ...FORWARD, principal: 'arn:aws:sts::111122223333:assumed-role/r/s' }), /\[0\]\.principal/],
  [strict({ ...FORWARD, purposes: ['PLANTED purpose'] }), /\[0\]\.purposes/],
  [strict({ ...FORWARD, rate: 5 }), /\[0\]\.rate/],
  [strict({ ...FORWARD, rate: { per_second: 0 } }), /per_second/],
  [strict({ ...FORWARD, rate: { per_second: 1, burst: 0.5 } }), /burst/],
  [strict({ ...FORWARD, rate: { per_second: 1, brust: 2 } }), /\[0\]\.rate/],
  [strict({ ...FORWARD, quota: { requests: 10 } }), /quota\.per/],
  [strict({ ...FORWARD, quota: { requests: -1, per: 'day' } }), /quota\.requests/],
  [strict({ ...FORWARD, quota: { requests: 1, per: 'year' } }), /quota\.per/],
  [strict(FORWARD, { ...FORWARD, name: 'b' }), /same name or the same key/],
])('%s is refused with the place, never the content', (text, message) => {
  const parse = () => parseCallers(text)
  expect(parse).toThrow(message)
  expect(parse).not.toThrow(/PLANTED/)
})

test('whatever the text, reading callers gives callers or an error with a code', () => {
  const entry = fc.record(
    {
      name: fc.oneof(fc.string(), fc.constant('a')),
      key_sha256: fc.oneof(fc.string(), fc.constant(sha256('k'))),
      principal: fc.oneof(fc.string(), fc.constant('arn:aws:iam::111122223333:role/x')),
      permissions: fc.oneof(fc.constant(['pseudonymize']), fc.jsonValue()),
      purposes: fc.jsonValue(),
      until: fc.oneof(fc.string(), fc.constant('2027-01-31')),
      rate: fc.jsonValue(),
      quota: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.array(entry).map((list) => JSON.stringify(list)),
    fc.array(entry).map((callers) => JSON.stringify({ version: 2, callers })),
  )
  const parses = [parseCallers, importGatewayKeys]
  fc.assert(
    fc.property(text, fc.constantFrom(...parses), (text, parse) => {
      try {
        parse(text)
      } catch (error) {
        expect(isPseudolakeError(error, 'config/invalid')).toBe(true)
      }
    }),
    { numRuns: 2000 },
  )
})

const EXPORT = {
  items: [
    {
      id: 'abc123',
      value: 'PLANTED-KEY-1-aaaaaaaaaaaa',
      name: 'nightly',
      enabled: true,
      createdDate: 1,
      stageKeys: [],
    },
    { id: 'def456', value: 'PLANTED-KEY-2-aaaaaaaaaaaa', name: 'nightly', enabled: true },
    { id: 'ghi789', value: 'PLANTED-KEY-3-aaaaaaaaaaaa', name: 'späti:☂', enabled: true },
    { id: 'old000', value: 'PLANTED-KEY-4-aaaaaaaaaaaa', name: 'old', enabled: false },
  ],
}

test('callers of an existing API come over hashed, with the way forward alone', () => {
  const { entries, disabled, renamed } = importGatewayKeys(JSON.stringify(EXPORT))
  expect([disabled, renamed]).toEqual([1, 2])
  expect(entries.map(({ name, permissions }) => [name, permissions])).toEqual([
    ['nightly', ['pseudonymize']],
    ['key def456', ['pseudonymize']],
    ['key ghi789', ['pseudonymize']],
  ])
  const text = writeCallers(entries)
  expect(text).not.toContain('PLANTED')
  const { callers, unboundGrants } = parseCallers(text)
  expect(unboundGrants).toEqual([])
  expect(Buffer.from(callers[1]?.keySha256 ?? []).toString('hex')).toBe(sha256('PLANTED-KEY-2-aaaaaaaaaaaa'))
})

test.each<[string, object, RegExp]>([
  ['without values', { items: [{ id: 'a', name: 'n', enabled: true }] }, /--include-values/],
  ['with one page of several', { ...EXPORT, position: 'next' }, /one page/],
  ['with disabled keys alone', { items: EXPORT.items.slice(3) }, /enabled/],
  ['of another command', { usagePlans: [] }, /get-api-keys/],
])('an export %s is refused, without its keys', (_, given, message) => {
  const take = () => importGatewayKeys(JSON.stringify(given))
  expect(take).toThrow(message)
  expect(take).not.toThrow(/PLANTED/)
})

test('a grant names purposes and an end, and is for one caller', () => {
  const text = writeCallers(importGatewayKeys(JSON.stringify(EXPORT)).entries)
  const granted = parseCallers(
    grantReidentify(text, { name: 'nightly', purposes: ['fraud-case'], until: '2027-01-31', domains: ['vehicle'] }),
  ).callers
  expect(granted[0]).toMatchObject({
    permissions: new Set(['pseudonymize', 'reidentify']),
    purposes: new Set(['fraud-case']),
    domains: new Set(['vehicle']),
  })
  expect(granted.slice(1).some(({ permissions }) => permissions.has('reidentify'))).toBe(false)
  for (const bad of [
    { name: 'nobody', purposes: ['x'], until: '2027-01-31' },
    { name: 'nightly', purposes: [], until: '2027-01-31' },
    { name: 'nightly', purposes: ['x'], until: 'some day' },
  ])
    expect(() => grantReidentify(text, bad)).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})
