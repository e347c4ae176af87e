import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatOf } from '../../lib/crypto/format.ts'
import { isPseudonymForm, pseudonymForm } from '../../lib/wire/forms.ts'
import { KEYS } from '../crypto/vectors.ts'

test('every pseudonym of the vectors has a known form', () => {
  for (const { material, cases, random } of KEYS)
    for (const { pseudonym } of [...cases, ...random]) expect(pseudonymForm(pseudonym)).toBe(material.format)
})

test('no identifier of the vectors that is shorter than any pseudonym has one', () => {
  for (const { cases } of KEYS)
    for (const { identifier } of cases.filter((c) => c.identifier.length < 40))
      expect([identifier, isPseudonymForm(identifier)]).toEqual([identifier, false])
})

test('a form is canonical exactly where the service would read it', () => {
  const formats = KEYS.map(({ material }) => formatOf(material))
  const near = fc.tuple(fc.nat({ max: 70 }), fc.nat(), fc.constantFrom('', 'A', 'B', '=', '==', '-', '+', '\n', ' '))
  fc.assert(
    fc.property(near, ([bytes, at, insert]) => {
      for (const format of formats) {
        const text = format.write(randomBytes(bytes))
        for (const changed of [text, text + insert, text.slice(0, -1) + insert, splice(text, at % text.length, insert)])
          if (!changed.startsWith('p2.') || format.read(changed))
            expect([changed, isPseudonymForm(changed)]).toEqual([changed, format.read(changed) !== undefined])
      }
    }),
    { numRuns: 150 },
  )
})

test.each([
  '',
  'p2.',
  'p2.abcd.',
  'p2.ABCD.'.padEnd(60, 'A'),
  'p3.abcd.'.padEnd(60, 'A'),
  'A'.repeat(36),
  'A'.repeat(41),
])('no form: %s', (text) => {
  expect(isPseudonymForm(text)).toBe(false)
})

test('a very long text is looked at in no time that grows faster than it does', () => {
  expect(isPseudonymForm('A'.repeat(4_000_000))).toBe(true)
  expect(isPseudonymForm(`${'A'.repeat(3_999_999)}!`)).toBe(false)
})

function splice(text: string, at: number, insert: string): string {
  return text.slice(0, at) + insert + text.slice(at)
}
