import { PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import type { DomainData, KeyData, KeyringData, KeyState } from '../../lib/crypto/keyring.ts'
import { newKey } from './create.ts'

/**
 * The life of a key (docs/keys.md): pending → active → read-only → retired, and the ways back from a step that was taken too early. A key
 * is never taken out of a keyring. Pure: each gives a new keyring, which shares the bytes of its keys with the old one.
 */

export interface RotateOptions {
  /** @default the only one there is */
  readonly domains?: readonly string[]
  /** Leaves the new keys pending, so that every instance can have them before one makes pseudonyms with them. @default false */
  readonly pending?: boolean
  /** Unpredictable: these bytes become the keys. */
  readonly randomBytes: RandomBytes
  /** Milliseconds since 1970, for `created`. */
  readonly now: number
}

/**
 * A new v2 key for each domain. It becomes the primary, and what was active becomes read-only, unless it is to stay pending.
 * @throws PseudolakeError `keyring/unknown-domain`; `options/invalid` where there are several domains and none is named
 */
export function rotateKeys(data: KeyringData, { pending = false, ...options }: RotateOptions): KeyringData {
  const domains = chosen(data, options.domains ?? [])
  const taken = new Set(data.domains.flatMap(({ keys }) => keys.map(({ material }) => material.id)))
  return {
    domains: data.domains.map((domain) => {
      if (!domains.has(domain.domain)) return domain
      const key: KeyData = { ...newKey({ domain: domain.domain, taken, ...options }), state: 'pending' }
      const grown = { ...domain, keys: [...domain.keys, key] }
      return pending ? grown : withPrimary(grown, key.material.id)
    }),
  }
}

/**
 * Makes a pending or read-only key the primary of its domain; what was active becomes read-only. Nothing changes where it is the primary.
 * @throws PseudolakeError `keyring/unknown-key`, `keyring/state` for a retired one
 */
export function activateKey(data: KeyringData, id: string): KeyringData {
  return changed(data, id, (domain, { state }) => {
    if (state === 'retired') throw refused(id, 'is retired', `\`keys retire --undo\` makes it read-only first.`)
    return withPrimary(domain, id)
  })
}

/**
 * Ends a key, for who names it too; nothing changes where it is retired already.
 * @throws PseudolakeError `keyring/unknown-key`, `keyring/state` for the domain's primary
 */
export function retireKey(data: KeyringData, id: string): KeyringData {
  return changed(data, id, (domain) => {
    if (domain.primary === id)
      throw refused(
        id,
        'is the primary of its domain',
        '`keys rotate` or `keys activate` makes another one the primary.',
      )
    return withState(domain, id, 'retired')
  })
}

/** Takes a retirement back: the key is read-only then. @throws PseudolakeError `keyring/unknown-key`, `keyring/state` for any other */
export function unretireKey(data: KeyringData, id: string): KeyringData {
  return changed(data, id, (domain, { state }) => {
    if (state !== 'retired') throw refused(id, `is ${state}`, 'Only a retirement can be taken back.')
    return withState(domain, id, 'read-only')
  })
}

/**
 * Further domains, each with an active v2 key.
 * @throws PseudolakeError `options/invalid` for a name that is none; `keyring/state` for a domain that is there already
 */
export function addDomains(data: KeyringData, added: KeyringData): KeyringData {
  for (const { domain } of added.domains)
    if (data.domains.some((known) => known.domain === domain))
      throw new PseudolakeError('keyring/state', `the keyring has the domain ${domain} already`, {
        domain,
        hint: `\`keys rotate --domain ${domain}\` gives it a new key.`,
      })
  return { domains: [...data.domains, ...added.domains] }
}

function chosen({ domains }: KeyringData, named: readonly string[]): ReadonlySet<string> {
  const names = domains.map(({ domain }) => domain)
  if (named.length === 0 && names.length > 1)
    throw new PseudolakeError('options/invalid', `domain: the keyring has ${names.join(', ')}; name those to rotate`, {
      option: 'domain',
    })
  const unknown = named.find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw new PseudolakeError('keyring/unknown-domain', `the keyring has no such domain; it has ${names.join(', ')}`)
  return new Set(named.length === 0 ? names : named)
}

function changed(data: KeyringData, id: string, change: (domain: DomainData, key: KeyData) => DomainData): KeyringData {
  let found = false
  const domains = data.domains.map((domain) => {
    const key = domain.keys.find(({ material }) => material.id === id)
    if (!key) return domain
    found = true
    return change(domain, key)
  })
  if (!found)
    throw new PseudolakeError('keyring/unknown-key', 'the keyring has no such key', {
      hint: '`pseudolake keys show` lists its keys.',
    })
  return { domains }
}

/** One key makes new pseudonyms; others that did go back from now on. */
function withPrimary({ domain, keys }: DomainData, id: string): DomainData {
  return {
    domain,
    primary: id,
    keys: keys.map((key) => {
      if (key.material.id === id) return { ...key, state: 'active' as const }
      return key.state === 'active' ? { ...key, state: 'read-only' as const } : key
    }),
  }
}

function withState(domain: DomainData, id: string, state: KeyState): DomainData {
  return { ...domain, keys: domain.keys.map((key) => (key.material.id === id ? { ...key, state } : key)) }
}

function refused(id: string, what: string, hint: string): PseudolakeError {
  return new PseudolakeError('keyring/state', `key ${id} ${what}`, { key: id, hint })
}
