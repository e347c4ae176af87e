import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { rawOpen, rawSeal } from './raw.ts'

/** RFC 8452, Appendix C.2 (all) and C.3: AES-256. The last two wrap the counter. */
const CASES: { key: string; nonce: string; aad: string; plaintext: string; result: string }[] = JSON.parse(
  readFileSync(new URL('rfc8452.json', import.meta.url), 'utf8'),
)

const bytes = (hex: string) => Buffer.from(hex, 'hex')
const cases = CASES.map(({ result, ...rest }, i) => ({
  name: `C.${i < 24 ? 2 : 3} case ${i < 24 ? i + 1 : i - 23}`,
  message: { key: bytes(rest.key), nonce: bytes(rest.nonce), aad: bytes(rest.aad), plaintext: bytes(rest.plaintext) },
  sealed: bytes(result),
}))

test('all 26 cases are there', () => {
  expect(cases).toHaveLength(26)
})

test.each(cases)('RFC 8452 $name: alone, and in every lane', ({ message, sealed }) => {
  expect(rawSeal(message, 1, 0)).toEqual(sealed)
  for (let lane = 0; lane < 8; lane++) expect(rawSeal(message, 8, lane)).toEqual(sealed)
  expect(rawSeal(message, 11, 10)).toEqual(sealed)
})

test.each(cases)(
  'RFC 8452 $name: the way back, and no single bit of nonce, AAD, ciphertext or tag may change',
  (one) => {
    const { key, nonce, aad, plaintext } = one.message
    expect(rawOpen(key, nonce, aad, one.sealed)).toEqual(plaintext)
    for (let bit = 0; bit < nonce.length * 8; bit++)
      expect(rawOpen(key, flipped(nonce, bit), aad, one.sealed)).toBe(undefined)
    for (let bit = 0; bit < aad.length * 8; bit++)
      expect(rawOpen(key, nonce, flipped(aad, bit), one.sealed)).toBe(undefined)
    for (let bit = 0; bit < one.sealed.length * 8; bit++)
      expect(rawOpen(key, nonce, aad, flipped(one.sealed, bit))).toBe(undefined)
    expect(rawOpen(key, nonce, Buffer.concat([aad, Buffer.of(0)]), one.sealed)).toBe(undefined)
  },
)

function flipped(bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return changed
}
