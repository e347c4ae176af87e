import { isPseudolakeError } from '../../lib/core/errors.ts'
import { type DomainData, type KeyringData, wipe } from '../../lib/crypto/keyring.ts'
import type { KeyringSource } from './reload.ts'
import { parseSecretKeyring } from './secret.ts'

/** A secret with the version before the current one; both are kept by who gives them, so that asking often costs nothing. */
export interface SecretVersions {
  current(): Promise<string>
  /** Undefined where there is none. */
  previous(): Promise<string | undefined>
}

export interface SecretSourceOptions {
  /** For messages. */
  readonly name: string
  readonly versions: SecretVersions
  /** Opens what is sealed. @default texts are taken as they are */
  readonly unsealed?: (text: string) => Promise<string>
  /** Is told why the version before can't be used, where it can't. */
  readonly say: (reason: string) => void
}

/**
 * A keyring in a secret store: a keyring's text, a sealed one, or a secret in the original format. Keys of the version before that the current
 * one lacks go on leading back, and on forward where they are asked for by their ids, until the next rotation: a secret that was rotated by
 * putting another one in its place does not cut off what was made with it.
 */
export function keyringSecret({ name, versions, unsealed = async (t) => t, say }: SecretSourceOptions): KeyringSource {
  let accepted: readonly (string | undefined)[] = []
  return {
    async read() {
      const texts = await Promise.all([versions.current(), versions.previous()])
      if (texts.every((text, i) => text === accepted[i])) return undefined
      const [current, previous] = texts
      const data = parseSecretKeyring(await unsealed(current), name)
      const before = previous === undefined || previous === current ? undefined : await older(previous)
      return {
        data: before ? withOlder(data, before) : data,
        accept() {
          accepted = texts
        },
      }
    },
  }

  /** What can't be read is no reason to do without the current keys. What can't be asked for now may be asked for later. */
  async function older(text: string): Promise<KeyringData | undefined> {
    try {
      return parseSecretKeyring(await unsealed(text), name)
    } catch (error) {
      if (isPseudolakeError(error) && error.retryable) throw error
      say(isPseudolakeError(error) ? error.message : error instanceof Error ? error.name : typeof error)
      return undefined
    }
  }
}

/** The keyring, and behind its own keys those of another that it lacks: read-only, unless they are retired. */
export function withOlder(data: KeyringData, older: KeyringData): KeyringData {
  const ids = new Set(data.domains.flatMap(({ keys }) => keys.map(({ material }) => material.id)))
  const domains = new Map<string, DomainData>(data.domains.map((domain) => [domain.domain, domain]))
  for (const { domain, primary, keys } of older.domains) {
    const lacking = keys.filter(({ material }) => !ids.has(material.id))
    if (lacking.length === 0) continue
    const kept = lacking.map((key) => (key.state === 'retired' ? key : { ...key, state: 'read-only' as const }))
    const there = domains.get(domain)
    domains.set(domain, there ? { ...there, keys: [...there.keys, ...kept] } : { domain, primary, keys: kept })
  }
  // The others came twice.
  wipe({
    domains: older.domains.map((domain) => ({
      ...domain,
      keys: domain.keys.filter(({ material }) => ids.has(material.id)),
    })),
  })
  return { domains: [...domains.values()] }
}
