import { createHash } from 'node:crypto'
import { packTexts, type TextBatch, unpackTexts } from '../core/texts.ts'
import type { KeyMaterial, OpenKernel } from './kernel.ts'

/**
 * Known answers, both ways: every format, lengths about the edges of AES blocks, SHA-256 blocks and the kernel's lanes, texts of one to
 * four bytes a character, random nonces, strings and bytes, and pseudonyms that must be refused. A few milliseconds.
 *
 * The answers were made with another implementation; test/crypto/self-test.test.ts makes them again with two.
 *
 * @returns what is wrong, or undefined
 */
export function selfTest(openKernel: OpenKernel): string | undefined {
  const identifiers = texts()
  for (const material of KEYS) {
    const kernel = openKernel(material, { randomBytes: (count) => new Uint8Array(count).fill(0xa5) })
    try {
      const made = kernel.pseudonymize(identifiers, { deterministic: true })
      if (digest(made) !== ANSWERS[material.format]) return `wrong pseudonyms (${material.format})`
      const random = kernel.pseudonymize(identifiers, { deterministic: false })
      for (const pseudonyms of [made, random])
        if (digest(kernel.reidentify(pseudonyms)) !== digest(identifiers)) return `wrong way back (${material.format})`
      const bytes = kernel.pseudonymizeBytes(packed(identifiers), { deterministic: true })
      if (digest(unpackTexts(bytes)) !== ANSWERS[material.format])
        return `wrong pseudonyms in bytes (${material.format})`
      if (digest(unpackTexts(kernel.reidentifyBytes(bytes))) !== digest(identifiers))
        return `wrong way back in bytes (${material.format})`
      for (const pseudonym of made)
        if (!refuses(() => kernel.reidentify([altered(pseudonym)])))
          return `an altered pseudonym is not refused (${material.format})`
    } finally {
      kernel.dispose()
    }
  }
  return undefined
}

/** @internal */
export const KEYS: readonly KeyMaterial[] = [
  {
    format: 'original',
    id: 'test',
    domain: 'default',
    secretKey: counting(32, 1),
    nonceKey: counting(8, 101),
    nonceStrPos: 9,
  },
  { format: 'v2', id: 'test', domain: 'self-test', aead: counting(32, 33), mac: counting(32, 65) },
]

/** @internal */
export const ANSWERS: Readonly<Record<KeyMaterial['format'], string>> = {
  original: '81be5a9e1d9dfc24b0831402cb2f79871242a762b28e5e75bd002c6cafa1fec6',
  v2: '0ab2bd1b08ad6c725d488ddf0457a96156dafd6d103a0ad837935677936e8c83',
}

/** @internal */
export function texts(): string[] {
  const lengths = [0, 1, 11, 12, 15, 16, 17, 31, 32, 33, 46, 47, 55, 56, 63, 64, 65, 128, 511, 512, 513, 640, 1500]
  return [
    ...lengths.map((length) => 'WVWZZZ1JZXW000001'.repeat(90).slice(0, length)),
    'Zürich',
    '車台番号',
    '🚗'.repeat(9),
  ]
}

/** @internal */
export function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex')
}

function packed(identifiers: readonly string[]): TextBatch {
  const batch = packTexts(identifiers)
  if (!batch) throw new Error('a text that is not well-formed')
  return batch
}

function counting(length: number, from: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => from + i)
}

/** Another letter in the tag. */
function altered(pseudonym: string): string {
  const at = pseudonym.length - 6
  return pseudonym.slice(0, at) + (pseudonym[at] === 'A' ? 'B' : 'A') + pseudonym.slice(at + 1)
}

function refuses(work: () => unknown): boolean {
  try {
    work()
    return false
  } catch {
    return true
  }
}
