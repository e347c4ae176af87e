import { randomBytes } from 'node:crypto'
import { gcmsiv } from '@noble/ciphers/aes.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countOf, packInto, packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { formatOf } from '../../lib/crypto/format.ts'
import type { KeyMaterial, OpenKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { KEYS } from './vectors.ts'

const KERNELS: readonly { readonly kernelName: string; readonly openKernel: OpenKernel }[] = [
  { kernelName: 'wasm', openKernel: wasmKernel },
  { kernelName: 'noble', openKernel: nobleKernel },
]
const OVER_ALL = KERNELS.flatMap((kernel) => KEYS.map((key) => ({ ...kernel, ...key })))

describe.each(OVER_ALL)('$kernelName, bytes to bytes: $name', ({ kernelName, openKernel, material, cases, random }) => {
  const kernel = openKernel(material, { randomBytes })
  const there = (batch: TextBatch) => kernel.pseudonymizeBytes(batch, { deterministic: true })

  test('every vector, both ways, deterministic and random', () => {
    const made = there(batchOf(cases.map((c) => c.identifier)))
    expect(strings(made)).toEqual(cases.map((c) => c.pseudonym))
    expect(made.offsets).toBeInstanceOf(Uint32Array)
    const all = [...cases, ...random]
    expect(strings(kernel.reidentifyBytes(batchOf(all.map((c) => c.pseudonym))))).toEqual(all.map((c) => c.identifier))
    const other = kernel.pseudonymizeBytes(batchOf(Array(40).fill('Zürich')), { deterministic: false })
    expect(new Set(strings(other)).size).toBe(40)
    expect(strings(kernel.reidentifyBytes(other))).toEqual(Array(40).fill('Zürich'))
  })

  test('any texts, cut out of the middle of other bytes, are what strings are', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 70 }), { maxLength: 5 }), (texts) => {
        const batch = batchOf(texts, { before: 3, after: 5, signed: true })
        const made = there(batch)
        expect(strings(made)).toEqual(kernel.pseudonymize(texts, { deterministic: true }))
        expect(made.bytes.buffer.byteLength).toBe(made.offsets.at(-1))
        expect(strings(kernel.reidentifyBytes(made))).toEqual(texts)
      }),
      { numRuns: 60 },
    )
  }, 30_000)

  test('an answer goes where it is told to, in memory that threads share too, and not beyond', () => {
    const texts = ['WVWZZZ1JZXW000001', '', 'Zürich', '車'.repeat(9_000)]
    const batch = batchOf(texts, { before: 3, after: 5 })
    const made = there(batch)
    const total = made.bytes.length
    for (const buffer of [new ArrayBuffer(total + 8), new SharedArrayBuffer(total + 8)]) {
      const into = { bytes: new Uint8Array(buffer), offsets: new Uint32Array(new SharedArrayBuffer(7 * 4)).fill(77) }
      into.bytes.fill(7)
      const there2 = kernel.pseudonymizeBytes(batch, { deterministic: true, into })
      expect(strings(there2)).toEqual(strings(made))
      expect([there2.bytes.buffer, there2.bytes.length, there2.offsets.length]).toEqual([buffer, total, 5])
      expect([...into.bytes.subarray(total)]).toEqual(Array(8).fill(7))
      expect([...into.offsets.subarray(5)]).toEqual([77, 77])
      const shared = { bytes: new Uint8Array(new SharedArrayBuffer(total)), offsets: there2.offsets }
      shared.bytes.set(there2.bytes)
      const back = kernel.reidentifyBytes(shared, { into })
      expect(strings(back)).toEqual(texts)
      expect(back.bytes.buffer).toBe(buffer)
    }
    const small = (bytes: number, offsets: number) => ({
      into: { bytes: new Uint8Array(bytes), offsets: new Uint32Array(offsets) },
    })
    expect(() => kernel.pseudonymizeBytes(batch, { deterministic: true, ...small(total - 1, 5) })).toThrow(RangeError)
    expect(() => kernel.pseudonymizeBytes(batch, { deterministic: true, ...small(total, 4) })).toThrow(RangeError)
    const plain = Buffer.byteLength(texts.join(''))
    const short = small(plain - 1, 5)
    expect(() => kernel.reidentifyBytes(made, short)).toThrow(RangeError)
    expect([...short.into.bytes].filter(Boolean)).toEqual([])
    expect(() => kernel.reidentifyBytes(made, small(plain, 4))).toThrow(RangeError)
    expect(strings(kernel.reidentifyBytes(made, small(plain, 5)))).toEqual(texts)
    // One that is refused leaves no identifier there.
    const room = small(plain, 5).into
    const last = strings(made)[3] as string
    const spoilt = batchOf([
      ...strings(made).slice(0, 3),
      last.slice(0, 30) + (last[30] === 'A' ? 'B' : 'A') + last.slice(31),
    ])
    expect(() => kernel.reidentifyBytes(spoilt, { into: room })).toThrow(/index 3/)
    expect([...room.bytes].filter(Boolean)).toEqual([])
  })

  test('bytes that are no UTF-8 are refused where they stand, never replaced', () => {
    const wrong = ['80', 'c328', 'c0af', 'e28228', 'eda080', 'edbfbf', 'f4908080', 'f8a1a1a1a1', 'c3', 'f09f9a']
    const texts = wrong.flatMap((hex) => [Buffer.from('good é'), Buffer.from(hex, 'hex'), Buffer.from('🚗')])
    expect(caught(() => there(gathered(texts)))).toMatchObject({
      code: 'identifier/invalid',
      context: { index: 1, indices: wrong.map((_, i) => i * 3 + 1), count: wrong.length },
    })
    // Halves that would mend each other when they are looked at together.
    const halves = ['61c3', 'a962'].map((hex) => Buffer.from(hex, 'hex'))
    expect(caught(() => there(gathered(halves)))).toMatchObject({ context: { indices: [0, 1] } })
    const empty = [Buffer.from('é'), Buffer.alloc(0), Buffer.from('é'), Buffer.alloc(0)]
    expect(strings(kernel.reidentifyBytes(there(gathered(empty))))).toEqual(['é', '', 'é', ''])
  })

  test('a pseudonym of bytes that are no UTF-8 does not come back as text', () => {
    // Its tag is right: made by somebody who has the key and no care.
    const bad = Buffer.from('c328', 'hex')
    const format = formatOf(material)
    const sealed = sealedBy(material, format, bad)
    for (const work of [
      () => kernel.reidentify([good(), sealed, good()]),
      () => kernel.reidentifyBytes(batchOf([good(), sealed, good()])),
    ])
      expect(caught(work)).toMatchObject({ code: 'pseudonym/invalid', context: { indices: [1], count: 1 } })
  })

  test('every single-bit change of a pseudonym’s bytes is refused, the eighth bit too', () => {
    const [pseudonym = ''] = kernel.pseudonymize(['WVWZZZ1JZXW000001'], { deterministic: true })
    const texts = Array.from({ length: pseudonym.length * 8 }, (_, bit) => {
      const text = Buffer.from(pseudonym)
      text[bit >> 3] = (text[bit >> 3] as number) ^ (1 << (bit & 7))
      return text
    })
    expect(caught(() => kernel.reidentifyBytes(gathered(texts)))).toMatchObject({
      code: 'pseudonym/invalid',
      context: { count: texts.length, indices: texts.slice(0, 100).map((_, i) => i) },
    })
    for (const text of texts.slice(0, kernelName === 'wasm' ? undefined : 40))
      expect(() => kernel.reidentifyBytes(gathered([text]))).toThrow(/no pseudonym/)
  }, 30_000)

  test('lengths about every edge, and indices of errors over several chunks', () => {
    const texts = Array.from({ length: 4_500 }, (_, i) => (i % 50 === 0 ? 'é'.repeat(i % 700) : `id-${i}`))
    const made = there(batchOf(texts))
    expect(strings(made)).toEqual(kernel.pseudonymize(texts, { deterministic: true }))
    expect(strings(kernel.reidentifyBytes(made))).toEqual(texts)
    const spoilt = strings(made)
    for (const i of [0, 2_047, 2_048, 4_499]) spoilt[i] = i === 2_048 ? 'x'.repeat(200_000) : `${spoilt[i]}=`
    expect(caught(() => kernel.reidentifyBytes(batchOf(spoilt)))).toMatchObject({
      context: { index: 0, indices: [0, 2_047, 2_048, 4_499], count: 4 },
    })
    const long = texts.with(3_000, 'x'.repeat(65_537))
    expect(caught(() => there(batchOf(long)))).toMatchObject({
      code: 'identifier/invalid',
      context: { indices: [3_000] },
    })
    const longest = ['é'.repeat(32_768), 'x'.repeat(65_536)]
    expect(strings(kernel.reidentifyBytes(there(batchOf(longest))))).toEqual(longest)
  }, 30_000)

  test('a disposed kernel refuses', () => {
    const mine = openKernel(material, { randomBytes })
    mine.dispose()
    expect(() => mine.pseudonymizeBytes(batchOf(['a']), { deterministic: true })).toThrow(/wiped/)
    expect(() => mine.reidentifyBytes(batchOf(['a']))).toThrow(/wiped/)
  })

  function good(): string {
    return kernel.pseudonymize(['é'], { deterministic: true })[0] as string
  }
})

describe.each(KERNELS)('$kernelName, a batch in bytes', ({ openKernel }) => {
  const kernel = openKernel((KEYS[0] as (typeof KEYS)[0]).material, { randomBytes })

  test('without texts gives one without', () => {
    const none = batchOf([])
    expect(kernel.pseudonymizeBytes(none, { deterministic: true })).toEqual(batchOf([]))
    expect(kernel.reidentifyBytes(none)).toEqual(batchOf([]))
  })

  test.each([
    ['none at all', [], /one more than there are texts/],
    ['that descend', [0, 3, 2], /text 1 ends before it starts/],
    ['beyond the bytes', [0, 5], /expected at most 4.* got 5/],
    ['below zero', [-1, 2], /expected 0 or more/],
  ])('offsets: %s are refused before anything is done', (_, offsets, message) => {
    const batch = { bytes: Buffer.from('abcd'), offsets: Int32Array.from(offsets) }
    expect(() => kernel.pseudonymizeBytes(batch, { deterministic: true })).toThrow(message)
    expect(() => kernel.reidentifyBytes(batch)).toThrow(message)
  })

  test('random nonces are the bytes handed in, each used once', () => {
    const counting = openKernel((KEYS[0] as (typeof KEYS)[0]).material, {
      randomBytes: (count) => Uint8Array.from({ length: count }, (_, i) => i),
    })
    const made = strings(counting.pseudonymizeBytes(batchOf(['a', 'a', 'a']), { deterministic: false }))
    expect(made.map((text) => Buffer.from(text, 'base64')[0])).toEqual([0, 12, 24])
  })
})

test('strings are packed and unpacked as they are; a lone surrogate has no bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 9 })), (texts) => {
      const packed = packTexts(texts)
      if (!packed) throw new Error('refused')
      expect(countOf(packed)).toBe(texts.length)
      expect(unpackTexts(packed)).toEqual(texts)
      expect(packed.bytes.buffer.byteLength).toBe(packed.bytes.length)
    }),
  )
  expect(packTexts(['a', 'b\ud800', 'c'])).toBe(undefined)
  expect(packTexts(['\ud83d', '\ude97'])).toBe(undefined)
})

/** Encrypts whatever the bytes are. */
function sealedBy(material: KeyMaterial, format: ReturnType<typeof formatOf>, plain: Buffer): string {
  const nonce = Buffer.alloc(12, 7)
  const cipher = gcmsiv(material.format === 'v2' ? material.aead : material.secretKey, nonce, format.associatedData)
  return format.write(Buffer.concat([nonce, cipher.encrypt(plain)]))
}

function batchOf(texts: readonly string[], { before = 0, after = 0, signed = false } = {}): TextBatch {
  return gathered(
    texts.map((text) => Buffer.from(text)),
    { before, after, signed },
  )
}

function gathered(texts: readonly Buffer[], { before = 0, after = 0, signed = false } = {}): TextBatch {
  const bytes = new Uint8Array(Buffer.concat([Buffer.alloc(before, 0xff), ...texts, Buffer.alloc(after, 0xff)]))
  const offsets = [before]
  for (const text of texts) offsets.push((offsets.at(-1) as number) + text.length)
  return { bytes, offsets: signed ? Int32Array.from(offsets) : Uint32Array.from(offsets) }
}

function strings({ bytes, offsets }: TextBatch): string[] {
  return Array.from({ length: offsets.length - 1 }, (_, i) =>
    Buffer.from(bytes.subarray(offsets[i], offsets[i + 1])).toString('utf8'),
  )
}

function caught(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error')
}

test('texts are packed into a room as into a buffer of their own, or not at all', () => {
  const units = fc.constantFrom('a', 'é', '車', '🚗', '\ud800', 'WVWZZZ1JZXW000001')
  fc.assert(
    fc.property(
      fc.array(
        fc.array(units, { maxLength: 6 }).map((parts) => parts.join('')),
        { maxLength: 6 },
      ),
      fc.integer({ min: -5, max: 5 }),
      fc.integer({ min: 0, max: 1 }),
      fc.boolean(),
      (texts, more, fewer, shared) => {
        const bytes = Math.max(0, Buffer.byteLength(texts.join('')) + more)
        const room = {
          bytes: new Uint8Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)),
          offsets: new Uint32Array(texts.length + 1 - fewer),
        }
        const expected = packTexts(texts)
        const fits = packInto(texts, room)
        expect(fits).toBe(expected !== undefined && expected.bytes.length <= bytes && fewer === 0)
        const used = fits ? (expected?.bytes.length as number) : 0
        if (fits) expect(room.offsets).toEqual(expected?.offsets)
        expect([...room.bytes.subarray(0, used)]).toEqual([...(expected?.bytes ?? []).slice(0, used)])
        expect([...room.bytes.subarray(used)].filter(Boolean)).toEqual([])
      },
    ),
    { numRuns: 2_000 },
  )
})
