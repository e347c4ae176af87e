import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import { formatOf } from '../../lib/crypto/format.ts'
import { FORM, isPseudonymForm, pseudonymForm, pseudonymFormAt, pseudonymForms } from '../../lib/wire/forms.ts'
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

test('of a batch each text has the form that it has alone', () => {
  const alphabet = 'ABZabz019+/-_=. \u00e4'
  const text = fc.oneof(
    fc.nat({ max: 70 }).map((bytes) => randomBytes(bytes).toString('base64')),
    fc.nat({ max: 70 }).map((bytes) => `p2.ab0z.${randomBytes(bytes).toString('base64url')}`),
    fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 60 }),
  )
  const changed = fc.tuple(text, fc.nat({ max: 90 }), fc.constantFrom('', ...alphabet, '@', '[', '`', '{', ':', ','))
  fc.assert(
    fc.property(fc.array(changed, { maxLength: 20 }), (changes) => {
      const texts = changes.map(([text, at, put]) =>
        at < text.length ? text.slice(0, at) + put + text.slice(at + 1) : text,
      )
      const forms = pseudonymForms(packTexts(texts) as TextBatch)
      const names = { [FORM.NONE]: undefined, [FORM.ORIGINAL]: 'original', [FORM.V2]: 'v2' }
      expect([...forms].map((form) => names[form as 0])).toEqual(texts.map(pseudonymForm))
    }),
    { numRuns: 2000 },
  )
})

test('every byte in every place of a pseudonym is judged alike alone and in a batch', () => {
  const one = Buffer.from(`p2.ab0z.${randomBytes(37).toString('base64url')}`)
  const two = Buffer.from(randomBytes(36).toString('base64'))
  for (const text of [one, two])
    for (let at = 0; at < text.length; at++) {
      const bytes = Buffer.concat(Array.from({ length: 256 }, () => text))
      for (let byte = 0; byte < 256; byte++) bytes[byte * text.length + at] = byte
      const offsets = Uint32Array.from({ length: 257 }, (_, i) => i * text.length)
      const alone = Array.from({ length: 256 }, (_, i) =>
        pseudonymFormAt(bytes, i * text.length, (i + 1) * text.length),
      )
      const names = [undefined, 'original', 'v2'] as const
      expect([...pseudonymForms({ bytes, offsets })].map((form) => names[form])).toEqual(alone)
    }
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
