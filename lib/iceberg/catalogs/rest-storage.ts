/**
 * Storage whose credentials a REST catalog hands out with a table ("vended credentials"): each location goes to the storage of the longest
 * prefix that credentials were given for, and every other one to the composition's own storage.
 */
import { PseudolakeError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'

/** As the AWS SDK's credential providers give them. */
export interface VendedCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

export interface VendedAccess {
  /** Where they hold. */
  readonly prefix: string
  /** What else the catalog says of the storage: `s3.endpoint`, `s3.path-style-access`, `client.region` … */
  readonly properties: Readonly<Record<string, string>>
  /** Always ones that hold for five more minutes, as far as the catalog gives such. */
  readonly credentials: () => Promise<VendedCredentials>
}

/** What an answer about a table says of its storage. */
export interface VendedConfig {
  readonly prefix: string
  readonly config: Readonly<Record<string, string>>
}

const AHEAD_MS = 5 * 60_000
const SECRETS = ['s3.access-key-id', 's3.secret-access-key', 's3.session-token', 's3.session-token-expires-at-ms']

/** The credentials in an answer: listed by prefix, or one for the whole table in its `config`. */
export function vendedIn(answer: JsonObject, tableLocation: string): VendedConfig[] {
  const config = (answer.config ?? {}) as Record<string, string>
  const listed = ((answer['storage-credentials'] ?? []) as { prefix: string; config: Record<string, string> }[]).map(
    (each) => ({ prefix: each.prefix, config: { ...config, ...each.config } }),
  )
  const all = listed.length > 0 ? listed : [{ prefix: tableLocation, config }]
  return all.filter((each) => each.config['s3.access-key-id'] !== undefined)
}

/**
 * @param own storage of everything that no credentials were given for
 * @param make a storage for what was given
 * @param wall milliseconds since 1970
 */
export function vendedStorage(
  own: Storage | undefined,
  make: (access: VendedAccess) => Storage,
  wall: () => number,
): { readonly storage: Storage; learn(given: readonly VendedConfig[], again: () => Promise<VendedConfig[]>): void } {
  interface Held {
    current: VendedConfig
    renew: () => Promise<VendedConfig[]>
    readonly storage: Storage
  }
  const held = new Map<string, Held>()

  function learn(given: readonly VendedConfig[], renew: () => Promise<VendedConfig[]>): void {
    for (const each of given) {
      const prefix = storageLocation(each.prefix)
      const known = held.get(prefix)
      if (known) {
        known.current = each
        known.renew = renew
        continue
      }
      const properties = Object.fromEntries(Object.entries(each.config).filter(([key]) => !SECRETS.includes(key)))
      held.set(prefix, {
        current: each,
        renew,
        storage: make({ prefix, properties, credentials: () => credentials(prefix) }),
      })
    }
  }

  async function credentials(prefix: string): Promise<VendedCredentials> {
    const at = held.get(prefix) as Held
    const until = expiry(at.current)
    if (until !== undefined && until - wall() < AHEAD_MS) learn(await at.renew(), at.renew)
    const { config } = at.current
    const expires = expiry(at.current)
    return {
      accessKeyId: config['s3.access-key-id'] as string,
      secretAccessKey: config['s3.secret-access-key'] ?? '',
      ...(config['s3.session-token'] !== undefined && { sessionToken: config['s3.session-token'] }),
      ...(expires !== undefined && { expiration: new Date(expires) }),
    }
  }

  function storageOf(location: string): Storage {
    let best: { readonly prefix: string; readonly storage: Storage } | undefined
    for (const [prefix, { storage }] of held)
      if (location.startsWith(prefix) && (!best || prefix.length > best.prefix.length)) best = { prefix, storage }
    const storage = best?.storage ?? own
    if (storage) return storage
    throw new PseudolakeError('storage/denied', `the catalog gave no credentials for ${location}`, { location })
  }

  return {
    learn,
    storage: {
      stat: async (location) => storageOf(location).stat(location),
      read: async (location, options) => storageOf(location).read(location, options),
      create: async (location, bytes) => storageOf(location).create(location, bytes),
      replace: async (location, bytes) => storageOf(location).replace(location, bytes),
      write: async (location) => storageOf(location).write(location),
      list: (prefix) => storageOf(prefix).list(prefix),
      async *unfinished(prefix) {
        yield* storageOf(prefix).unfinished?.(prefix) ?? []
      },
      reads: (location) => storageOf(location).reads?.(location),
      delete: async (location) => storageOf(location).delete(location),
    },
  }
}

function expiry({ config }: VendedConfig): number | undefined {
  const text = config['s3.session-token-expires-at-ms']
  const at = Number(text)
  return text !== undefined && Number.isSafeInteger(at) ? at : undefined
}
