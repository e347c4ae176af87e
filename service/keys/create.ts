import { PseudolakeError } from '../../lib/core/errors.ts'
import type { KeyFormat, KeyMaterial, RandomBytes } from '../../lib/crypto/kernel.ts'
import type { KeyData, KeyringData } from '../../lib/crypto/keyring.ts'
import { secretCopy } from '../../lib/crypto/secret-bytes.ts'
import { DEFAULT_DOMAIN, isDomain } from '../../lib/wire/contract.ts'
import { parseOriginalSecret } from './format.ts'

export interface CreateOptions {
  /** @default v2 */
  readonly format?: KeyFormat
  /** @default one, named `default` */
  readonly domains?: readonly string[]
  /** Ids that are in use already. @default none */
  readonly taken?: Iterable<string>
  /** Unpredictable: these bytes become the keys. */
  readonly randomBytes: RandomBytes
  /** Milliseconds since 1970, for `created`. */
  readonly now: number
}

/** A keyring of new keys, one active key for each domain. @throws PseudolakeError `options/invalid` */
export function createKeyring({
  format = 'v2',
  domains = [DEFAULT_DOMAIN],
  taken: inUse = [],
  randomBytes,
  now,
}: CreateOptions): KeyringData {
  if (domains.length === 0 || new Set(domains).size < domains.length || !domains.every(isDomain))
    throw new PseudolakeError(
      'options/invalid',
      'domain: expected different names of 1 to 64 characters of a-z, 0-9, _ and -',
      { option: 'domain' },
    )
  if (format === 'original') onlyDefault(domains)
  const taken = new Set(inUse)
  return {
    domains: domains.map((domain) => {
      const id = newKeyId(randomBytes, taken)
      const material = format === 'original' ? newOriginal(id, domain, randomBytes) : newV2(id, domain, randomBytes)
      return single(material, now)
    }),
  }
}

/** A keyring whose only key is a secret of the original service. @throws PseudolakeError `keyring/invalid` */
export function importOriginal(secret: string, { now }: Pick<CreateOptions, 'now'>): KeyringData {
  return { domains: [single(parseOriginalSecret(secret), now)] }
}

/** A v2 key of a domain, without a state. @param taken ids that it may not have */
export function newKey({
  domain,
  taken,
  randomBytes,
  now,
}: {
  readonly domain: string
  readonly taken: Set<string>
  readonly randomBytes: RandomBytes
  readonly now: number
}): Omit<KeyData, 'state'> {
  return {
    material: newV2(newKeyId(randomBytes, taken), domain, randomBytes),
    created: new Date(now).toISOString(),
  }
}

function single(material: KeyMaterial, now: number) {
  const created = new Date(now).toISOString()
  return { domain: material.domain, primary: material.id, keys: [{ material, created, state: 'active' as const }] }
}

function newV2(id: string, domain: string, randomBytes: RandomBytes): KeyMaterial {
  return { format: 'v2', id, domain, aead: fresh(32, randomBytes), mac: fresh(32, randomBytes) }
}

function newOriginal(id: string, domain: string, randomBytes: RandomBytes): KeyMaterial {
  const secretKey = fresh(32, randomBytes)
  const nonceKey = fresh(8, randomBytes)
  return { format: 'original', id, domain, secretKey, nonceKey, nonceStrPos: below(21, randomBytes) }
}

function fresh(count: number, randomBytes: RandomBytes): Uint8Array {
  const bytes = randomBytes(count)
  const own = secretCopy(bytes)
  bytes.fill(0)
  return own
}

function onlyDefault(domains: readonly string[]): void {
  if (domains.some((domain) => domain !== DEFAULT_DOMAIN))
    throw new PseudolakeError(
      'options/invalid',
      `domain: a key of the original format can be in the domain ${DEFAULT_DOMAIN} only`,
      { option: 'domain' },
    )
}

const KEY_ID_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Random, not counted: ids of two keyrings that are merged, or mixed up, should not meet. */
function newKeyId(randomBytes: RandomBytes, taken: Set<string>): string {
  for (;;) {
    const id = Array.from({ length: 4 }, () => KEY_ID_CHARACTERS[below(KEY_ID_CHARACTERS.length, randomBytes)]).join('')
    if (taken.has(id)) continue
    taken.add(id)
    return id
  }
}

/** Uniform in [0, bound), without the bias of a remainder. */
function below(bound: number, randomBytes: RandomBytes): number {
  for (;;) {
    const [byte = 255] = randomBytes(1)
    if (byte < 256 - (256 % bound)) return byte % bound
  }
}
