import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatOf } from '../../lib/crypto/format.ts'
import type { KeyMaterial, OpenKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { KEYS, ORIGINAL, originalMaterial, V2 } from './vectors.ts'

/** One suite over both adapters of the port. */
const KERNELS: readonly { readonly kernelName: string; readonly openKernel: OpenKernel }[] = [
  { kernelName: 'wasm', openKernel: wasmKernel },
  { kernelName: 'noble', openKernel: nobleKernel },
]

const OVER_ALL = KERNELS.flatMap((kernel) => KEYS.map((key) => ({ ...kernel, ...key })))

describe.each(OVER_ALL)('$kernelName: $name', ({ openKernel, material, cases, random }) => {
  const open = (material: KeyMaterial) => openKernel(material, { randomBytes })
  const kernel = open(material)

  test('every deterministic vector is byte-equal, in one batch and alone', () => {
    const identifiers = cases.map((c) => c.identifier)
    const pseudonyms = cases.map((c) => c.pseudonym)
    expect(kernel.pseudonymize(identifiers, { deterministic: true })).toEqual(pseudonyms)
    for (const c of cases.slice(0, 10))
      expect(kernel.pseudonymize([c.identifier], { deterministic: true })).toEqual([c.pseudonym])
  })

  test('every vector goes back, deterministic and random', () => {
    const all = [...cases, ...random]
    expect(kernel.reidentify(all.map((c) => c.pseudonym))).toEqual(all.map((c) => c.identifier))
  })

  test('the length of a pseudonym is known beforehand, and of its identifier', () => {
    for (const { identifier, pseudonym } of cases) {
      expect(kernel.pseudonymLength(Buffer.byteLength(identifier))).toBe(pseudonym.length)
      expect(kernel.identifierLength(pseudonym.replace(/=+$/, '').length)).toBe(Buffer.byteLength(identifier))
    }
    expect([0, 1, 37].map(kernel.identifierLength)).toEqual([0, 0, 0])
  })

  test('strings are put into a list that is given, at their place, and nowhere else', () => {
    const [first, second] = cases as [(typeof cases)[0], (typeof cases)[0]]
    const texts = ['before', 'taken', 'taken', 'after']
    const made = kernel.pseudonymize([first.identifier, second.identifier], {
      deterministic: true,
      into: { texts, at: 1 },
    })
    expect(made).toBe(texts)
    expect(texts).toEqual(['before', first.pseudonym, second.pseudonym, 'after'])
    expect(kernel.reidentify([second.pseudonym], { into: { texts, at: 2 } })).toBe(texts)
    expect(texts).toEqual(['before', first.pseudonym, second.identifier, 'after'])
  })

  test('a random pseudonym is another one each time, and goes back', () => {
    const made = kernel.pseudonymize(Array(50).fill('WVWZZZ1JZXW000001'), { deterministic: false })
    expect(new Set(made).size).toBe(50)
    expect(kernel.reidentify(made)).toEqual(Array(50).fill('WVWZZZ1JZXW000001'))
  })

  test('any text goes there and back', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 70 }), { maxLength: 4 }), (texts) => {
        const made = kernel.pseudonymize(texts, { deterministic: true })
        expect(made).toHaveLength(texts.length)
        expect(kernel.reidentify(made)).toEqual(texts)
      }),
      { numRuns: 60 },
    )
  }, 30_000)

  test('every single-bit change of a pseudonym is refused', () => {
    const format = formatOf(material)
    for (const identifier of ['', 'WVWZZZ1JZXW000001']) {
      const [pseudonym = ''] = kernel.pseudonymize([identifier], { deterministic: true })
      const sealed = format.read(pseudonym)
      if (!sealed) throw new Error('unreadable')
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const changed = Buffer.from(sealed)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(() => kernel.reidentify([format.write(changed)])).toThrow(
          expect.objectContaining({ code: 'pseudonym/invalid', context: { index: 0, indices: [0], count: 1 } }),
        )
      }
    }
  })

  test('every change of one bit of one character of the text is refused', () => {
    const pseudonym = cases.find((c) => c.identifier.length === 17)?.pseudonym ?? ''
    expect(pseudonym).not.toBe('')
    for (let bit = 0; bit < pseudonym.length * 7; bit++) {
      const at = Math.floor(bit / 7)
      const changed =
        pseudonym.slice(0, at) +
        String.fromCharCode(pseudonym.charCodeAt(at) ^ (1 << (bit % 7))) +
        pseudonym.slice(at + 1)
      expect(() => kernel.reidentify([changed])).toThrow(expect.objectContaining({ code: 'pseudonym/invalid' }))
    }
  }, 30_000)

  test('only the one canonical spelling is read', () => {
    // 28 bytes leave unused bits in the last character, so a lax decoder takes sixteen spellings for one pseudonym.
    const [good = ''] = kernel.pseudonymize([''], { deterministic: true })
    const other = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_')
    const variants = [
      `${good} `,
      ` ${good}`,
      `${good}\n`,
      `${good}=`,
      good.replace(/=+$/, ''),
      other(good),
      good.replace(/[A-Za-z0-9](=*)$/, (_, pad: string) => `B${pad}`),
      good.slice(0, -1),
      good.slice(4),
      '',
      'p2.',
      good.toUpperCase(),
    ].filter((text) => text !== good)
    expect(variants.length).toBeGreaterThan(8)
    for (const text of variants)
      expect(() => kernel.reidentify([text])).toThrow(expect.objectContaining({ code: 'pseudonym/invalid' }))
  })

  test('an error says where, and no value', () => {
    const texts = ['fine', 'a\ud800SECRET', 'fine', 'SECRET\udfff', 'x'.repeat(65_537)]
    const error = caught(() => kernel.pseudonymize(texts, { deterministic: true }))
    expect(error).toMatchObject({ code: 'identifier/invalid', context: { index: 1, indices: [1, 3, 4], count: 3 } })
    expect(error.message).not.toContain('SECRET')
    const [good = ''] = kernel.pseudonymize(['a'], { deterministic: true })
    expect(caught(() => kernel.reidentify([good, 'SECRET']))).toMatchObject({ context: { indices: [1] } })
    expect(caught(() => kernel.reidentify([good, 'SECRET'])).message).not.toContain('SECRET')
  })

  test('64 KiB of UTF-8 is the limit, in bytes', () => {
    const longest = 'é'.repeat(32_768)
    expect(kernel.reidentify(kernel.pseudonymize([longest], { deterministic: true }))).toEqual([longest])
    expect(() => kernel.pseudonymize([`${longest}a`], { deterministic: true })).toThrow(/64 KiB/)
  })

  test('neighbours in a batch don’t mend each other: halves of a character, or of its bytes', () => {
    const error = caught(() => kernel.pseudonymize(['a\ud83d', '\ude97b'], { deterministic: true }))
    expect(error).toMatchObject({ code: 'identifier/invalid', context: { indices: [0, 1] } })
  })

  test('letters that would be others when cut to a byte are refused on the way back', () => {
    const [good = ''] = kernel.pseudonymize(['a'], { deterministic: true })
    const wide = good.replace(/[A-Za-z]/, (letter) => String.fromCharCode(letter.charCodeAt(0) + 256))
    expect(wide).not.toBe(good)
    expect(caught(() => kernel.reidentify([good, wide, good]))).toMatchObject({ context: { indices: [1], count: 1 } })
    expect(kernel.reidentify([good])).toEqual(['a'])
  })

  test('a batch of no identifiers is none', () => {
    expect(kernel.pseudonymize([], { deterministic: true })).toEqual([])
    expect(kernel.reidentify([])).toEqual([])
  })

  test('the indices of an error are those of the batch, however long it is', () => {
    const batch = Array.from({ length: 5_000 }, (_, i) => (i % 2_300 === 2_299 ? 'a\ud800' : `id-${i}`))
    expect(caught(() => kernel.pseudonymize(batch, { deterministic: true }))).toMatchObject({
      context: { index: 2_299, indices: [2_299, 4_599], count: 2 },
    })
    const [good = ''] = kernel.pseudonymize(['a'], { deterministic: true })
    const back = Array.from({ length: 5_000 }, (_, i) => (i > 2_100 && i < 2_300 ? `${good}=` : good))
    const error = caught(() => kernel.reidentify(back))
    expect(error).toMatchObject({ code: 'pseudonym/invalid', context: { index: 2_101, count: 199 } })
    expect((error as unknown as { context: { indices: number[] } }).context.indices).toHaveLength(100)
  }, 20_000)

  test('a disposed kernel refuses, and leaves the caller’s own bytes alone', () => {
    const copy = structuredClone(material)
    const kernel = open(copy)
    kernel.dispose()
    kernel.dispose()
    expect(() => kernel.pseudonymize(['a'], { deterministic: true })).toThrow(/wiped/)
    expect(() => kernel.reidentify(['a'])).toThrow(/wiped/)
    expect(copy).toEqual(material)
  })
})

describe.each(KERNELS)('$kernelName', ({ openKernel }) => {
  const open = (material: KeyMaterial) => openKernel(material, { randomBytes })

  test.each(ORIGINAL)('what the original service made of lone surrogates goes back to what it encrypted', (vectors) => {
    const kernel = open(originalMaterial(vectors.secret))
    for (const { pseudonym, reidentified_as, identifier_utf16_escaped } of vectors.lossy_lone_surrogates) {
      expect(kernel.reidentify([pseudonym])).toEqual([reidentified_as])
      const identifier: string = JSON.parse(`"${identifier_utf16_escaped}"`)
      expect(() => kernel.pseudonymize([identifier], { deterministic: true })).toThrow(
        expect.objectContaining({ code: 'identifier/invalid' }),
      )
    }
  })

  test('the nonce of both formats is the HMAC that node:crypto makes', () => {
    for (const { secret, cases } of ORIGINAL) {
      const [made = ''] = open(originalMaterial(secret)).pseudonymize(['Zürich 1'], { deterministic: true })
      const hex = createHmac('sha256', Buffer.from(secret.encodedNonceKey, 'base64')).update('Zürich 1').digest('hex')
      const nonce = Buffer.from(made, 'base64').subarray(0, 12).toString('latin1')
      expect(nonce).toBe(hex.slice(secret.nonceStrPos, secret.nonceEndPos))
      expect(cases.length).toBeGreaterThan(100)
    }
    for (const { domain, key } of V2) {
      const material = KEYS.find((k) => k.material.id === key.id)?.material as KeyMaterial
      const [made = ''] = open(material).pseudonymize(['Zürich 1'], { deterministic: true })
      const input = Buffer.concat([
        Buffer.from('pseudolake/v2/nonce\0'),
        Buffer.of(domain.length),
        Buffer.from(domain),
        Buffer.of(0, 0, 0, 9),
        Buffer.from('Zürich 1'),
      ])
      const mac = createHmac('sha256', Buffer.from(key.mac, 'base64')).update(input).digest()
      expect(Buffer.from(made.slice(8), 'base64url').subarray(0, 12)).toEqual(mac.subarray(0, 12))
    }
  })

  test('random nonces are the bytes handed in, each used once', () => {
    const [key] = KEYS
    if (!key) throw new Error('no vectors')
    const kernel = openKernel(key.material, { randomBytes: (count) => Uint8Array.from({ length: count }, (_, i) => i) })
    const made = kernel.pseudonymize(['a', 'a', 'a'], { deterministic: false })
    expect(made.map((text) => Buffer.from(text, 'base64')[0])).toEqual([0, 12, 24])
  })

  test('a key never reads another key’s pseudonyms, nor another domain’s', () => {
    const [a, , c] = V2
    if (!a || !c) throw new Error('no vectors')
    const material = KEYS.find((k) => k.material.id === a.key.id)?.material as Extract<KeyMaterial, { format: 'v2' }>
    const [made = ''] = open(material).pseudonymize(['a'], { deterministic: true })
    for (const other of [
      { ...material, domain: c.domain },
      { ...material, id: c.key.id },
    ])
      expect(() => open(other).reidentify([made, made.replace(a.key.id, other.id)])).toThrow(
        expect.objectContaining({ context: { index: 0, indices: [0, 1], count: 2 } }),
      )
  })

  test('no bit of the key id or the domain may change, though text and keys stay: they are authenticated', () => {
    const [first] = V2
    const material = KEYS.find((k) => k.material.id === first?.key.id)?.material as Extract<
      KeyMaterial,
      { format: 'v2' }
    >
    const sealed = formatOf(material).read(
      open(material).pseudonymize(['WVWZZZ1JZXW000001'], { deterministic: true })[0] as string,
    )
    if (!sealed) throw new Error('unreadable')
    const changes = (['id', 'domain'] as const).flatMap((field) =>
      Array.from({ length: material[field].length * 7 }, (_, bit) => {
        const text = Buffer.from(material[field])
        text[Math.floor(bit / 7)] = (text[Math.floor(bit / 7)] as number) ^ (1 << (bit % 7))
        return { ...material, [field]: text.toString('latin1') }
      }),
    )
    expect(changes.length).toBe((4 + material.domain.length) * 7)
    for (const changed of changes) {
      // The same bytes, spelt as the other key would.
      const kernel = open(changed)
      expect(() => kernel.reidentify([formatOf(changed).write(sealed)])).toThrow(
        expect.objectContaining({ code: 'pseudonym/invalid' }),
      )
      kernel.dispose()
    }
  })

  test('keys of another length are refused when the kernel is opened, by field and length', () => {
    for (const { material } of KEYS) {
      const short =
        material.format === 'v2'
          ? { ...material, mac: new Uint8Array(31) }
          : { ...material, nonceKey: new Uint8Array(9) }
      expect(() => open(short)).toThrow(/expected (32|8) bytes, got (31|9)/)
    }
  })
})

function caught(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error')
}
