import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../../lib/core/texts.ts'
import type { ColumnRule } from '../../../pipelines/batch/job.ts'
import { replacer } from '../../../pipelines/batch/replacer.ts'
import { sentStrings, sentTexts } from '../../../pipelines/batch/sent.ts'

const packed = (values: readonly string[]) => packTexts(values) as TextBatch
const rule = (over: Partial<ColumnRule> = {}) =>
  ({ mode: 'deterministic', domain: 'default', normalize: [], nullValues: [], ...over }) as unknown as ColumnRule

const text = fc.oneof(
  fc.constantFrom('', ' ', 'n/a', 'N/A', ' n/a ', 'ä', 'A\u0308', '\u2028', '😀', 'ﬁ', '"', '\\', '\u0000'),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
)

test('of bytes is sent what is sent of strings, whatever the rule', () => {
  const rules = fc.record({
    normalize: fc.subarray(['trim', 'upper', 'lower', 'nfc'] as const),
    nullValues: fc.subarray(['', 'n/a', 'N/A', ' ', 'ä', '😀']),
  })
  fc.assert(
    fc.property(rules, fc.array(text, { maxLength: 20 }), (over, texts) => {
      const strings = sentStrings(rule(over))(texts)
      const bytes = sentTexts(rule(over))(packed(texts))
      const places = [...texts.keys()]
      expect(unpackTexts(bytes.values)).toEqual(strings.values)
      expect([...(bytes.places ? Array.from(bytes.places) : places)]).toEqual(strings.places)
      const rest = places.filter((place) => !strings.places.includes(place))
      expect(rest.map(bytes.isNull)).toEqual(rest.map(strings.isNull))
    }),
    { numRuns: 1000 },
  )
})

test('each text gets its own answer, null or emptiness, and the service sees what the rule leaves', async () => {
  const asked: string[][] = []
  const client = {
    call: async ({ values }: { readonly values: readonly string[] }) => {
      asked.push([...values])
      return { values: values.map((value) => `<${value}>`) }
    },
  }
  const replace = replacer(rule({ normalize: ['trim', 'upper'], nullValues: ['n/a', 'N/A'] }), undefined, client)
  const got = await replace(packed(['a', ' ', 'n/a', 'ä ', '', ' n/a', 'b']))
  expect(unpackTexts(got)).toEqual(['<A>', '', '', '<Ä>', '', '', '<B>'])
  expect([...(got.nulls ?? [])]).toEqual([0, 0, 1, 0, 0, 1, 0])
  expect(asked).toEqual([['A', 'Ä', 'B']])
  const all = await replacer(rule({ nullValues: [''] }), undefined, client)(packed(['', '']))
  expect([...(all.nulls ?? [])]).toEqual([1, 1])
  expect(asked).toHaveLength(1)
})
