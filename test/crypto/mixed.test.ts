import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { OpenKernel } from '../../lib/crypto/kernel.ts'
import { type KeyringData, openKeyring } from '../../lib/crypto/keyring.ts'
import {
  pseudonymizeMixed,
  pseudonymizeMixedBytes,
  reidentifyMixed,
  reidentifyMixedBytes,
} from '../../lib/crypto/mixed.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { vectorKeyring } from '../service/keyrings.ts'

/** How often each key's kernel was called. */
function counting(data: KeyringData) {
  const calls: string[] = []
  const open: OpenKernel = (material, options) => {
    const kernel = wasmKernel(material, options)
    const called =
      <A extends unknown[], R>(method: (...args: A) => R) =>
      (...args: A): R => {
        calls.push(material.id)
        return method(...args)
      }
    return {
      ...kernel,
      pseudonymize: called(kernel.pseudonymize),
      reidentify: called(kernel.reidentify),
      pseudonymizeBytes: called(kernel.pseudonymizeBytes),
      reidentifyBytes: called(kernel.reidentifyBytes),
    }
  }
  return { ring: openKeyring(data, open, { randomBytes }), calls }
}

const { ring, calls } = counting(vectorKeyring())
const choices = [
  { domain: 'default' },
  { domain: 'vehicle' },
  { domain: 'default', key: '29k0' },
  { domain: 'default', key: 'orig' },
  { domain: 'vehicle', key: '0fzg' },
]
const values = Array.from({ length: 9_000 }, (_, i) => (i % 11 === 0 ? `Zürich ${i}` : `VIN${i}`))
const choiceOf = Uint8Array.from({ length: values.length }, (_, i) => (i * 7) % choices.length)
const expected = values.map((value, i) => {
  const { domain, key } = choices[choiceOf[i] as number] as (typeof choices)[0]
  return ring.forward(domain, key).pseudonymize([value], { deterministic: true })[0]
})
const bytes = (texts: readonly string[]) => packTexts(texts) as TextBatch
const deterministic = { deterministic: true }

test('domains and keys mixed in one batch: one call for each key, every result in its place', () => {
  calls.length = 0
  expect(pseudonymizeMixed(ring, { values, choices, choiceOf }, deterministic)).toEqual(expected)
  expect(calls).toHaveLength(choices.length)
  const batch = { values: bytes(values), choices, choiceOf }
  expect(unpackTexts(pseudonymizeMixedBytes(ring, batch, deterministic))).toEqual(expected)
  expect(calls).toHaveLength(2 * choices.length)
})

test('on the way back the pseudonym says which key of its domain it is of', () => {
  const pseudonyms = expected as string[]
  // A domain is enough.
  const domains = [{ domain: 'default' }, { domain: 'vehicle' }]
  const domainOf = Array.from(choiceOf, (choice) => (choices[choice]?.domain === 'vehicle' ? 1 : 0))
  const mixed = { choices: domains, choiceOf: domainOf }
  calls.length = 0
  expect(reidentifyMixed(ring, { values: pseudonyms, ...mixed })).toEqual(values)
  expect(unpackTexts(reidentifyMixedBytes(ring, { values: bytes(pseudonyms), ...mixed }))).toEqual(values)
  expect(calls).toHaveLength(2 * choices.length)
})

test('a batch of one key is handed on as it is, and one of none asks nobody', () => {
  calls.length = 0
  const all = { values, choices, choiceOf: new Uint8Array(values.length) }
  const made = pseudonymizeMixed(ring, all, deterministic)
  expect(made).toEqual(ring.forward('default').pseudonymize(values, deterministic))
  expect(pseudonymizeMixed(ring, { values: [], choices, choiceOf: [] }, deterministic)).toEqual([])
  expect(unpackTexts(reidentifyMixedBytes(ring, { values: bytes([]), choices, choiceOf: [] }))).toEqual([])
  expect(calls).toHaveLength(2)
})

test('what is wrong in any share is said at once, with the indices of the batch', () => {
  const wrong = values.with(8_000, 'SECRET\ud800').with(17, '\ud800').with(18, 'x'.repeat(65_537))
  const error = caught(() => pseudonymizeMixed(ring, { values: wrong, choices, choiceOf }, deterministic))
  expect(error).toMatchObject({
    code: 'identifier/invalid',
    context: { index: 17, indices: [17, 18, 8_000], count: 3 },
  })
  expect(error.message).not.toContain('SECRET')
  const batch = bytes(values)
  for (const i of [4, 5, 8_999]) batch.bytes[batch.offsets[i] as number] = 0xff
  expect(caught(() => pseudonymizeMixedBytes(ring, { values: batch, choices, choiceOf }, deterministic))).toMatchObject(
    { context: { indices: [4, 5, 8_999], count: 3 } },
  )

  const good = expected as string[]
  // Another domain's, an unknown key's, cut, none at all.
  const other = { choices: [{ domain: 'default' }], choiceOf: new Uint8Array(5) }
  const vehicle = good[choiceOf.indexOf(1)] as string
  const mine = good[choiceOf.indexOf(0)] as string
  const bad = [mine, vehicle, mine.replace('5kl9', 'zzzz'), mine.slice(1), '']
  for (const work of [
    () => reidentifyMixed(ring, { values: bad, ...other }),
    () => reidentifyMixedBytes(ring, { values: bytes(bad), ...other }),
  ])
    expect(caught(work)).toMatchObject({
      code: 'pseudonym/invalid',
      context: { index: 1, indices: [1, 2, 3, 4], count: 4 },
    })
})

test('an unknown domain, a key that may not, and an item without a choice are refused', () => {
  const one = (choice: object, of: number[]) => () =>
    pseudonymizeMixed(ring, { values: ['a'], choices: [choice as { domain: string }], choiceOf: of }, deterministic)
  expect(one({ domain: 'none' }, [0])).toThrow(expect.objectContaining({ code: 'keyring/unknown-domain' }))
  expect(one({ domain: 'vehicle', key: 'none' }, [0])).toThrow(expect.objectContaining({ code: 'keyring/unknown-key' }))
  expect(one({ domain: 'vehicle' }, [1])).toThrow(RangeError)
  expect(one({ domain: 'vehicle' }, [])).toThrow(RangeError)
})

function caught(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error')
}
