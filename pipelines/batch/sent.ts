/** A column's values as the service gets to see them: normalized, without those that mean null. The empty string is never sent. Pure. */
import { packTexts, pickTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { ColumnRule } from './job.ts'

/** What is sent of some texts. */
export interface SentTexts {
  readonly values: TextBatch
  /** Of the values among the texts, ascending; missing where all are sent. */
  readonly places?: ArrayLike<number>
  /** Of a text that is not sent: whether it becomes null, or else empty. */
  readonly isNull: (place: number) => boolean
}

export function sentTexts(rule: ColumnRule): (texts: TextBatch) => SentTexts {
  return rule.normalize.length === 0 ? sentAsTheyAre(rule) : sentNormalized(rule)
}

/** No string is made of a text, but of those that are as long as one that means null. */
function sentAsTheyAre({ nullValues }: ColumnRule): (texts: TextBatch) => SentTexts {
  const nulls = new Set(nullValues)
  const lengths = new Set(nullValues.map((text) => Buffer.byteLength(text)))
  return (texts) => {
    const { bytes, offsets } = texts
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const count = offsets.length - 1
    if (nulls.size === 0 && !hasEmpty(offsets)) return { values: texts, isNull: () => false }
    const found = new Set<number>()
    const places: number[] = []
    for (let i = 0; i < count; i++) {
      const [from, to] = [offsets[i] as number, offsets[i + 1] as number]
      if (lengths.has(to - from) && nulls.has(buffer.toString('utf8', from, to))) found.add(i)
      else if (to > from) places.push(i)
    }
    const isNull = (place: number) => found.has(place)
    return places.length === count ? { values: texts, isNull } : { values: pickTexts(texts, places), places, isNull }
  }
}

function hasEmpty(offsets: TextBatch['offsets']): boolean {
  for (let i = 1; i < offsets.length; i++) if (offsets[i] === offsets[i - 1]) return true
  return false
}

function sentNormalized(rule: ColumnRule): (texts: TextBatch) => SentTexts {
  const sentOf = sentStrings(rule)
  return (texts) => {
    const { values, places, isNull } = sentOf(unpackTexts(texts))
    // What is well-formed stays so, whatever its case and form.
    return { values: packTexts(values) as TextBatch, places, isNull }
  }
}

export interface SentStrings {
  readonly values: readonly string[]
  readonly places: readonly number[]
  readonly isNull: (place: number) => boolean
}

/** The same of strings. */
export function sentStrings({ normalize, nullValues }: ColumnRule): (texts: readonly string[]) => SentStrings {
  const normalized = normalizer(normalize)
  const nulls = new Set(nullValues)
  return (texts) => {
    const found = new Set<number>()
    const places: number[] = []
    const values: string[] = []
    for (const [i, text] of texts.entries()) {
      const value = normalized(text)
      if (nulls.has(text) || nulls.has(value)) found.add(i)
      else if (value !== '') {
        places.push(i)
        values.push(value)
      }
    }
    return { values, places, isNull: (place) => found.has(place) }
  }
}

/** The configured steps, in their order. */
export function normalizer(steps: ColumnRule['normalize']): (text: string) => string {
  const one = {
    trim: (text: string) => text.trim(),
    upper: (text: string) => text.toUpperCase(),
    lower: (text: string) => text.toLowerCase(),
    nfc: (text: string) => text.normalize('NFC'),
  }
  return (text) => steps.reduce((value, step) => one[step](value), text)
}
