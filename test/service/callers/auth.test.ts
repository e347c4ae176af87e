import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { identifyBy, identityOf, type KnownCaller, mayAskFor, mayCall, NOBODY } from '../../../service/auth.ts'

const hash = (key: string) => createHash('sha256').update(key).digest()
const caller = (name: string, more: Partial<KnownCaller>): KnownCaller => ({
  name,
  permissions: new Set(['pseudonymize']),
  domains: undefined,
  until: undefined,
  ...more,
})
const ROLE = 'arn:aws:iam::111122223333:role/jobs'
const SESSION = 'arn:aws:sts::111122223333:assumed-role/jobs/i-0123'

test('a session of a role counts as the role, whatever its path; a user and anything else is itself', () => {
  expect(identityOf(SESSION)).toBe(ROLE)
  expect(identityOf('arn:aws:iam::111122223333:role/teams/lake/jobs')).toBe(ROLE)
  expect(identityOf('arn:aws-cn:sts::111122223333:assumed-role/jobs/x')).toBe('arn:aws-cn:iam::111122223333:role/jobs')
  for (const other of ['arn:aws:iam::111122223333:user/ann', 'arn:aws:sts::111122223333:assumed-role/jobs', '', 'x'])
    expect(identityOf(other)).toBe(other)
})

test('a caller is known by its key, its principal, or both, and the entry that asks for more counts', () => {
  const identify = identifyBy([
    caller('by key', { keySha256: hash('k') }),
    caller('by role', { principal: ROLE }),
    caller('by both', { keySha256: hash('k2'), principal: ROLE }),
  ])
  const who = (apiKey?: string, principal?: string) => identify({ apiKey, principal })?.name
  expect(who('k')).toBe('by key')
  expect(who(undefined, SESSION)).toBe('by role')
  expect(who('k', SESSION)).toBe('by key')
  expect(who('k2', SESSION)).toBe('by both')
  expect(who('wrong', SESSION)).toBe('by role')
  expect([who(), who(''), who('wrong'), who('k2'), who('k2', `${SESSION}x`.replace('jobs', 'other'))]).toEqual(
    Array(5).fill(undefined),
  )
})

test('an empty key is nobody’s, even where its hash is listed', () => {
  const identify = identifyBy([caller('empty', { keySha256: hash('') })])
  expect(identify({ apiKey: '', principal: undefined })).toBeUndefined()
  expect(identify({ apiKey: undefined, principal: undefined })).toBeUndefined()
})

test('every entry is compared, whichever one is right', () => {
  const looked: string[] = []
  const watched = (name: string, key: string) => {
    const entry = caller(name, { keySha256: hash(key) })
    return Object.defineProperty({ ...entry }, 'keySha256', {
      get() {
        looked.push(name)
        return entry.keySha256
      },
    }) as KnownCaller
  }
  const identify = identifyBy([watched('a', '1'), watched('b', '2'), watched('c', '3')])
  const lookedAtFor = (apiKey: string | undefined) => {
    looked.length = 0
    identify({ apiKey, principal: undefined })
    return [...new Set(looked)]
  }
  for (const apiKey of ['1', '3', 'wrong', '', undefined]) expect(lookedAtFor(apiKey)).toEqual(['a', 'b', 'c'])
})

test('what is not granted is denied', () => {
  const both = caller('both', { permissions: new Set(['pseudonymize', 'reidentify']), purposes: new Set(['fraud']) })
  const now = 1000
  expect(mayCall(NOBODY, 'pseudonymize', 'default', now)).toBe(false)
  expect(mayCall(NOBODY, 'pseudonymize', undefined, -1)).toBe(false)
  expect(mayCall(caller('a', {}), 'reidentify', 'default', now)).toBe(false)
  expect(mayCall(caller('a', { domains: new Set(['x']) }), 'pseudonymize', 'y', now)).toBe(false)
  expect(mayCall(caller('a', { until: now }), 'pseudonymize', 'x', now)).toBe(false)
  expect(mayCall(caller('a', { until: now + 1 }), 'pseudonymize', 'x', now)).toBe(true)
  expect([undefined, '', 'other', 'fraud'].map((purpose) => mayAskFor(both, 'reidentify', purpose))).toEqual([
    false,
    false,
    false,
    true,
  ])
  expect(mayAskFor(both, 'pseudonymize', undefined)).toBe(true)
  expect(mayAskFor(caller('a', {}), 'reidentify', undefined)).toBe(true)
})
