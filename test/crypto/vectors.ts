import { readFileSync } from 'node:fs'
import type { KeyMaterial } from '../../lib/crypto/kernel.ts'

interface Pair {
  readonly identifier: string
  readonly pseudonym: string
}

interface OriginalSecret {
  readonly encodedSecretKey: string
  readonly encodedNonceKey: string
  readonly nonceStrPos: number
  readonly nonceEndPos: number
}

interface OriginalVectors {
  readonly secret: OriginalSecret
  readonly cases: readonly Pair[]
  readonly probabilistic: readonly Pair[]
  readonly lossy_lone_surrogates: readonly {
    readonly identifier_utf16_escaped: string
    readonly pseudonym: string
    readonly reidentified_as: string
  }[]
}

interface V2Vectors {
  readonly domain: string
  readonly key: { readonly id: string; readonly aead: string; readonly mac: string }
  readonly cases: readonly Pair[]
  readonly random: readonly Pair[]
}

export const ORIGINAL: readonly OriginalVectors[] = read('original.json')
export const V2: readonly V2Vectors[] = read('v2.json')

/** Every secret and key of the vectors, in one shape. */
export const KEYS = [
  ...ORIGINAL.map(({ secret, cases, probabilistic }, i) => ({
    name: `original secret ${i}`,
    material: originalMaterial(secret),
    cases,
    random: probabilistic,
  })),
  ...V2.map(({ domain, key, cases, random }) => ({
    name: `v2 key ${key.id} of ${domain}`,
    material: v2Material(domain, key),
    cases,
    random,
  })),
]

export function originalMaterial(secret: OriginalSecret): KeyMaterial {
  return {
    format: 'original',
    id: 'orig',
    domain: 'default',
    secretKey: bytes(secret.encodedSecretKey),
    nonceKey: bytes(secret.encodedNonceKey),
    nonceStrPos: secret.nonceStrPos,
  }
}

function v2Material(domain: string, { id, aead, mac }: V2Vectors['key']): KeyMaterial {
  return { format: 'v2', id, domain, aead: bytes(aead), mac: bytes(mac) }
}

function bytes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8'))
}
