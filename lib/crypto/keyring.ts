import { PseudolakeError } from '../core/errors.ts'
import type { KernelOptions, KeyFormat, KeyMaterial, OpenKernel, PseudonymKernel } from './kernel.ts'

/**
 * A keyring in memory: domains, each with its keys and the one that makes new pseudonyms. Which key may do what follows from its
 * state alone. A key is found by its exact id: trying keys in turn would tell an attacker how many there are, and would let a
 * pseudonym of a retired key pass as another's.
 */
export interface Keyring {
  /** In the order of the file. */
  readonly domains: readonly DomainSummary[]
  /**
   * The key that pseudonymizes: the one pinned, unless it is retired, else the domain's primary, if that is active.
   * @throws PseudolakeError `keyring/unknown-domain`; `keyring/unknown-key` where there is none, or its state forbids it
   */
  forward(domain: string, pin?: string): PseudonymKernel
  /** The keys that may go back. @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key` (the pinned one) */
  back(domain: string, pin?: string): KeysBack
  /** Wipes all keys. */
  dispose(): void
}

export interface KeysBack {
  /** A v2 pseudonym names its key. */
  byId(id: string): PseudonymKernel | undefined
  /** A pseudonym in the original format does not; this is the key that is most likely its. */
  readonly original: PseudonymKernel | undefined
  /** All such keys, that one first. A keyring's file has one at most; a secret that was rotated, one more (service/keys/versions.ts). */
  readonly originals: readonly PseudonymKernel[]
}

/** What may be shown of a domain. */
export interface DomainSummary {
  readonly domain: string
  readonly primary: string
  readonly keys: readonly { readonly id: string; readonly format: KeyFormat; readonly state: KeyState }[]
}

/**
 * What a key does for who names none. For who asks for it by its id, every key but a retired one works both ways: a table that was begun
 * with a key goes on with it after a rotation, and in the middle of one.
 *
 * `pending`: on its way to every instance; goes back already, so that an instance that is behind can answer for one that is ahead.
 * `active`: makes new pseudonyms, where it is the primary. `read-only`: goes back. `retired`: does nothing, also by its id.
 */
export type KeyState = (typeof KEY_STATES)[number]

export const KEY_STATES = ['pending', 'active', 'read-only', 'retired'] as const

/** The keyring as data: what a file holds, checked. */
export interface KeyringData {
  readonly domains: readonly DomainData[]
}

export interface DomainData {
  readonly domain: string
  readonly primary: string
  readonly keys: readonly KeyData[]
}

export interface KeyData {
  readonly material: KeyMaterial
  readonly created: string
  readonly state: KeyState
}

export function summaryOf({ domains }: KeyringData): DomainSummary[] {
  return domains.map(({ domain, primary, keys }) => ({
    domain,
    primary,
    keys: keys.map(({ material: { id, format }, state }) => ({ id, format, state })),
  }))
}

/** Opens every key that may be used at all. The caller wipes `data` afterwards ({@link wipe}). */
export function openKeyring(data: KeyringData, openKernel: OpenKernel, options: KernelOptions): Keyring {
  const domains = new Map(
    data.domains.map(({ domain, primary, keys }) => {
      const usable = keys.filter(({ state }) => state !== 'retired')
      const opened = usable.map(({ material, state }) => ({ state, kernel: openKernel(material, options) }))
      return [domain, { primary, keys: new Map(opened.map((key) => [key.kernel.key.id, key])) }]
    }),
  )

  function find(name: string) {
    const domain = domains.get(name)
    if (!domain) throw new PseudolakeError('keyring/unknown-domain', 'the keyring has no such domain')
    return domain
  }

  return {
    domains: summaryOf(data),

    forward(name, pin) {
      const domain = find(name)
      const key = domain.keys.get(pin ?? domain.primary)
      if (!key || (pin === undefined && key.state !== 'active'))
        throw new PseudolakeError(
          'keyring/unknown-key',
          pin === undefined
            ? 'the primary key of the domain is not active'
            : 'the domain has no such key, or it is retired',
        )
      return key.kernel
    },

    back(name, pin) {
      const domain = find(name)
      if (pin !== undefined && !domain.keys.has(pin))
        throw new PseudolakeError('keyring/unknown-key', 'the domain has no such key that goes back')
      const kernels = [...domain.keys.values()]
        .map(({ kernel }) => kernel)
        .filter(({ key }) => pin === undefined || key.id === pin)
      const ofV2 = new Map(kernels.filter(({ key }) => key.format === 'v2').map((kernel) => [kernel.key.id, kernel]))
      const originals = kernels.filter(({ key }) => key.format === 'original')
      return { byId: (id) => ofV2.get(id), original: originals[0], originals }
    },

    dispose() {
      for (const { keys } of domains.values()) for (const { kernel } of keys.values()) kernel.dispose()
    },
  }
}

/** Overwrites the key bytes of `data`. */
export function wipe(data: KeyringData): void {
  for (const { keys } of data.domains)
    for (const { material } of keys)
      for (const bytes of material.format === 'v2'
        ? [material.aead, material.mac]
        : [material.secretKey, material.nonceKey])
        bytes.fill(0)
}
