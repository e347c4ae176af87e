import { expect, test } from 'vitest'
import { validate } from '../../../lib/client/layers/validate.ts'
import type { PseudonymRequest } from '../../../lib/client/pseudonymizer.ts'
import { answer, fakeNext, pseudonym, request } from '../support.ts'

const p = (value: string) => pseudonym(value, 'default')
const original = (value: string) => Buffer.concat([Buffer.alloc(28, 7), Buffer.from(value)]).toString('base64')

test('a right answer passes as it is', async () => {
  const { next } = fakeNext()
  for (const asked of [
    request(['a', 'b', '']),
    request(['a', 'a']),
    request(['a', 'a'], { deterministic: false }),
    request(['a'], { domain: 'vehicle', key: 'test' }),
    request([p('a'), p('b'), p('a')], { direction: 'reidentify' }),
  ]) {
    const got = await validate(next).call(asked)
    expect(got.values).toHaveLength(asked.values.length)
  }
})

test('an answer without echo passes for the default domain, as the original service sends none', async () => {
  expect(await call(['a', 'b'], { values: ['a', 'b'].map(original) })).toMatchObject({
    values: ['a', 'b'].map(original),
  })
})

test.each<[string, unknown]>([
  ['no list', undefined],
  ['a text for a list', 'abc'],
  ['a value too few', [p('a')]],
  ['a value too many', [p('a'), p('b'), p('c')]],
  ['a null', [p('a'), null]],
  ['a number', [p('a'), 7]],
  ['a list in the list', [p('a'), [p('b')]]],
  ['a hole', Object.assign([p('a')], { length: 2 })],
  ['an identifier in its own place', [p('a'), 'b']],
  ['an identifier in another place', [p('a'), 'a']],
  ['an empty text', [p('a'), '']],
  ['a text of no form', [p('a'), 'hello']],
  ['a pseudonym cut short', [p('a'), p('b').slice(0, 30)]],
  ['a pseudonym that is not canonical', [p('a'), `${original('b').slice(0, -2)}==`]],
  ['a pseudonym with a blank', [p('a'), ` ${p('b')}`]],
  ['one pseudonym for two identifiers', [p('a'), p('a')]],
  ['two formats at once', [p('a'), original('b')]],
])('is refused: %s', async (_, values) => {
  await expect(call(['a', 'b'], { values })).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test('an identifier that has the form of a pseudonym is refused as well when it comes back', async () => {
  const values = [p('x'), p('y')]
  await expect(call(values, { values: [p('1'), p('x')] })).rejects.toMatchObject({ context: { index: 1 } })
})

test('mode deterministic with two pseudonyms for one identifier is none', async () => {
  await expect(call(['a', 'a'], { values: [p('1'), p('2')] })).rejects.toThrow('two pseudonyms for one identifier')
})

test('mode random with one pseudonym for two cells is none', async () => {
  const refused = call(['a', 'a'], { values: [p('1'), p('1')] }, { deterministic: false })
  await expect(refused).rejects.toThrow('one pseudonym for two cells')
})

test.each<[string, Partial<PseudonymRequest>, { domain?: string; keys?: string[] }]>([
  ['another domain', {}, { domain: 'vehicle' }],
  ['another domain than named', { domain: 'vehicle' }, { domain: 'default' }],
  ['no domain where one was named', { domain: 'vehicle' }, { keys: ['test'] }],
  ['no key where a domain was named', { domain: 'vehicle' }, { domain: 'vehicle' }],
  ['no key where one was pinned', { key: 'test' }, { domain: 'default' }],
  ['an empty list of keys where one was pinned', { key: 'test' }, { domain: 'default', keys: [] }],
  ['another key than pinned', { key: 'abcd' }, { domain: 'default', keys: ['test'] }],
  ['no domain where a key was pinned', { key: 'test' }, { keys: ['test'] }],
  ['two keys', {}, { domain: 'default', keys: ['test', 'abcd'] }],
  ['an echo that contradicts the pseudonyms', {}, { domain: 'default', keys: ['abcd'] }],
  ['pseudonyms of another key behind a right echo', { key: 'abcd' }, { domain: 'default', keys: ['abcd'] }],
])('an echo is refused: %s', async (_, over, echo) => {
  await expect(call(['a'], { values: [p('a')], ...echo }, over)).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test.each<[string, unknown, { domain?: string; keys?: string[] }?]>([
  ['a null', [null]],
  ['a number', [1]],
  ['too few', []],
  ['the pseudonym itself', [p('a')]],
  ['another domain', ['a'], { domain: 'vehicle' }],
])('on the way back is refused: %s', async (_, values, echo = {}) => {
  const refused = call([p('a')], { values, ...echo }, { direction: 'reidentify' })
  await expect(refused).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test('on the way back several keys and equal identifiers are right', async () => {
  const got = await call([p('a'), p('b')], { values: ['x', 'x'], keys: ['abcd', 'efgh'] }, { direction: 'reidentify' })
  expect(got.values).toEqual(['x', 'x'])
})

test('a refusal repeats neither identifier nor pseudonym', async () => {
  const secret = 'WVWZZZ1JZXW000001'
  const error = await call([secret, 'b'], { values: [secret, p('b')] }).catch((thrown: unknown) => thrown)
  expect(JSON.stringify(error) + String(error)).not.toContain(secret)
  expect(error).toMatchObject({ context: { index: 0 } })
})

function call(values: string[], given: object, over: Partial<PseudonymRequest> = {}) {
  const { next } = fakeNext((received) => {
    const { values: _values, domain: _domain, keys: _keys, ...rest } = answer(received)
    return { ...rest, ...given }
  })
  return validate(next).call(request(values, over))
}
