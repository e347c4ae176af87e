import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { FIELDS } from '../../lib/wire/contract.ts'
import { type Asked, readAsked } from '../../service/operations/lists.ts'
import { pseudonymizeBytes, reidentifyBytes } from '../../service/operations/operations.ts'
import { V2 } from '../crypto/vectors.ts'
import { open } from './keyrings.ts'

const ring = open()
const query = { domain: 'default', deterministic: true }

/** A text that JSON has several spellings of is nothing that is read as bytes: so the same list comes as strings. */
function spelt(field: string, values: readonly string[]): { asBytes: Buffer; asStrings: Buffer } {
  const body = JSON.stringify({ [field]: values })
  return { asBytes: Buffer.from(body), asStrings: Buffer.from(`${body.slice(0, -1)},"x":0}`) }
}

async function outcome(body: Uint8Array, direction: 'pseudonymize' | 'reidentify', pin?: string) {
  const asked = readAsked(body, direction)
  if ('wrong' in asked) return asked
  const whose = { ...query, ...(pin !== undefined && { key: pin }) }
  try {
    const { body: made, ...rest } = await asked.answer(ring, whose, {})
    return { count: asked.count, ...rest, ...JSON.parse(Buffer.from(made).toString()) }
  } catch (error) {
    const { code, message, context } = error as { code: string; message: string; context: unknown }
    return { code, message, context }
  }
}

describe('a list of texts is answered from bytes to bytes exactly as from strings to strings', () => {
  const ids = fc.array(fc.string({ unit: 'binary', maxLength: 30 }), { maxLength: 8 })

  test('forward', async () => {
    await fc.assert(
      fc.asyncProperty(ids, async (values) => {
        const { asBytes, asStrings } = spelt('identifiers', values)
        expect(await outcome(asBytes, 'pseudonymize')).toEqual(await outcome(asStrings, 'pseudonymize'))
      }),
      { numRuns: 60 },
    )
  })

  test('back: of one key, of several, of none, altered, empty, pinned', async () => {
    const [a = [], b = []] = V2.filter(({ domain }) => domain === 'default').map(({ cases }) =>
      cases.slice(0, 4).map(({ pseudonym }) => pseudonym),
    )
    const original = (
      await pseudonymizeBytes(ring, { ...query, values: packTexts(['Zürich', 'x']) as TextBatch, key: 'orig' })
    ).values
    const o = unpackTexts(original)
    const lists = [[], a, b, o, [...a, ...b], [...o, ...a], [...a, ...o], ['p2.'], ['p2.zzzz.AAAA'], ['x', 'p2.'], ['']]
    const cut = a.map((text) => text.slice(0, -1))
    for (const pin of [undefined, '5kl9', 'orig', 'none'])
      for (const values of [...lists, cut, [...a, 'p2'], [...a, a[0]?.toUpperCase() ?? '']]) {
        const { asBytes, asStrings } = spelt('pseudonyms', values)
        expect(await outcome(asBytes, 'reidentify', pin)).toEqual(await outcome(asStrings, 'reidentify', pin))
      }
    expect(await outcome(spelt('pseudonyms', [...o, ...a]).asBytes, 'reidentify')).toMatchObject({ count: 6 })
  })

  test('what is too long for an identifier, or for an answer', async () => {
    const long = 'x'.repeat(65_537)
    const many = Array.from({ length: 80 }, () => 'y'.repeat(65_536))
    for (const values of [['a', long], many, [...many, long]]) {
      const { asBytes, asStrings } = spelt('identifiers', values)
      const result = await outcome(asBytes, 'pseudonymize')
      expect(result).toEqual(await outcome(asStrings, 'pseudonymize'))
      expect(result).toMatchObject({ code: values === many ? 'service/too-large' : 'identifier/invalid' })
    }
  })
})

test('bytes of several keys go back in their order', async () => {
  const keys = V2.filter(({ domain }) => domain === 'default')
  const cases = keys.flatMap(({ cases }) => cases.slice(0, 3)).reverse()
  const values = packTexts(cases.map(({ pseudonym }) => pseudonym)) as TextBatch
  const answer = await reidentifyBytes(ring, { domain: 'default', values })
  expect(unpackTexts(answer.values)).toEqual(cases.map(({ identifier }) => identifier))
  expect([...answer.keys].sort()).toEqual(['29k0', '5kl9'])
})

test.each(['pseudonymize', 'reidentify'] as const)(
  'a body that is no list says what is wrong with it: %s',
  (direction) => {
    const { request } = FIELDS[direction]
    expect(readAsked(Buffer.from('{'), direction)).toMatchObject({ wrong: 'the body is not JSON' })
    expect(readAsked(Buffer.from('{}'), direction)).toMatchObject({ wrong: `the field ${request} is missing` })
    const many = `{"${request}":[${Array(150_001).fill('""').join()}]}`
    expect(readAsked(Buffer.from(many), direction)).toMatchObject({ tooMany: true })
    const most = `{"${request}":[${Array(150_000).fill('""').join()}]}`
    expect((readAsked(Buffer.from(most), direction) as Asked).count).toBe(150_000)
  },
)
