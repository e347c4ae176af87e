import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import type { ColumnRule } from './job.ts'

/** New values for a column's values: pseudonyms, null where the rule says so, empty where nothing is left of a value. */
export type Replacer = (texts: readonly string[], signal?: AbortSignal) => Promise<(string | null)[]>

/**
 * A column's values as the service gets to see them: normalized, without those that mean null. The empty string is never sent.
 * @param key pinned key version, if any
 */
export function replacer(rule: ColumnRule, key: string | undefined, client: Pseudonymizer): Replacer {
  const normalized = normalizer(rule.normalize)
  const nulls = new Set(rule.nullValues)
  return async (texts, signal) => {
    const replaced: (string | null)[] = new Array(texts.length)
    const values: string[] = []
    const slots: number[] = []
    for (const [i, text] of texts.entries()) {
      const value = normalized(text)
      if (nulls.has(text) || nulls.has(value)) replaced[i] = null
      else if (value === '') replaced[i] = ''
      else {
        values.push(value)
        slots.push(i)
      }
    }
    if (values.length > 0) {
      const answer = await client.call({
        direction: 'pseudonymize',
        values,
        domain: rule.domain,
        deterministic: rule.mode === 'deterministic',
        ...(key === undefined ? {} : { key }),
        ...(signal === undefined ? {} : { signal }),
      })
      for (const [i, slot] of slots.entries()) replaced[slot] = answer.values[i] as string
    }
    return replaced
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
