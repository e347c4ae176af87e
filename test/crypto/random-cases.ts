import type { KeyMaterial } from '../../lib/crypto/kernel.ts'

/** A key and identifiers to compare implementations over; the same for the same seed. */
export interface Round {
  readonly material: KeyMaterial
  readonly identifiers: readonly string[]
}

const SCRIPTS = [
  '0123456789ABCDEFGHJKLMNPRSTUVWXYZ',
  ' -_.,/abcäöüßéñ',
  'абвгде',
  '車台番号',
  '🚗👩‍👩‍👧x',
  '\0\n\u007f\u0080\u07ff\u0800\uffff',
]

/**
 * Rounds of some hundred identifiers, each round under new keys of either format: lengths mostly of identifiers, some about the edges of
 * AES and SHA-256 blocks, some long; several scripts; domains of 1 to 64 characters, so that the associated data has all lengths too.
 */
export function* randomRounds(seed: number, cases: number, perRound = 500): Generator<Round> {
  const next = generator(seed)
  const below = (n: number) => Math.floor(next() * n)
  const bytes = (n: number) => Uint8Array.from({ length: n }, () => below(256))
  const word = (n: number, letters: string) => Array.from({ length: n }, () => letters[below(letters.length)]).join('')
  for (let done = 0; done < cases; done += perRound) {
    const material: KeyMaterial =
      (done / perRound) % 2 === 0
        ? {
            format: 'original',
            id: 'orig',
            domain: 'default',
            secretKey: bytes(32),
            nonceKey: bytes(8),
            nonceStrPos: below(21),
          }
        : {
            format: 'v2',
            id: word(4, 'abcxyz019'),
            domain: word(1 + below(64), 'abc_-09'),
            aead: bytes(32),
            mac: bytes(32),
          }
    const identifiers = Array.from({ length: Math.min(perRound, cases - done) }, () => {
      const kind = below(100)
      const length = kind < 80 ? below(40) : kind < 98 ? below(140) : kind < 99 ? below(1_400) : 510 + below(5)
      const letters = [...(SCRIPTS[kind < 70 ? 0 : below(SCRIPTS.length)] as string)]
      return Array.from({ length }, () => letters[below(letters.length)]).join('')
    })
    yield { material, identifiers }
  }
}

/** xorshift32: seeded, so that a failure can be met again. */
function generator(seed: number): () => number {
  let x = seed | 0 || 1
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
}
