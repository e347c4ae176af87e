import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { type Keyring, type KeyringData, wipe } from '../../lib/crypto/keyring.ts'
import { loadKeyring } from './file.ts'
import { type LiveKeyring, liveKeyring } from './live.ts'
import { signatureOf } from './signature.ts'

/** Where a keyring comes from, which may bring another one later. */
export interface KeyringSource {
  /** What is there now; undefined where it is what was accepted last. @throws PseudolakeError as its reading does */
  read(): Promise<ReadKeyring | undefined>
  /** Has the next reading be of what is there by then, where texts are kept for a while. @default none is kept */
  refresh?(): Promise<void>
}

export interface ReadKeyring {
  /** Whoever read it wipes it. */
  readonly data: KeyringData
  /** It is in use now, and need not be read again. */
  accept(): void
}

/** A file, which counts as changed when its place, time or size is another. @throws PseudolakeError as {@link loadKeyring} */
export function keyringFile(file: string): KeyringSource {
  let accepted: string | undefined
  return {
    async read() {
      // Before the reading: a file that is replaced in between is read once more, not never.
      const now = await signatureOf(file)
      if (now !== undefined && now === accepted) return undefined
      const data = await loadKeyring(file)
      return {
        data,
        accept() {
          accepted = now
        },
      }
    },
  }
}

export type Reloaded = 'replaced' | 'unchanged' | 'failed'

export type ReloadEvent =
  | {
      readonly event: 'keyring-reloaded'
      readonly domains: number
      readonly keys: number
      /** Ids of keys that were in use and are in it no more. */
      readonly lost?: readonly string[]
    }
  | { readonly event: 'keyring-not-reloaded'; readonly code: string; readonly reason: string }

export interface FollowOptions {
  readonly source: KeyringSource
  /** The bytes that it is given are wiped afterwards. */
  readonly open: (data: KeyringData) => Keyring
  /** Takes over a keyring too in which a key that is in use is missing. @default false: that is more likely another keyring */
  readonly mayLoseKeys?: boolean
  /** Is told of what was taken over, and once of what could not be. */
  readonly say: (event: ReloadEvent) => void
}

export interface FollowedKeyring {
  readonly keyring: LiveKeyring
  /**
   * Looks at the source, and takes over what is there now. What can't be read, or can't be right, changes nothing: the keys as they are
   * go on serving. One look at a time; who asks meanwhile gets the same answer. Never throws.
   * @param anew also where what was read is kept for a while. @default false
   */
  reload(anew?: boolean): Promise<Reloaded>
}

/** Opens what the source has, and stays able to take over what it has later. @throws PseudolakeError as the source does */
export async function followKeyring({
  source,
  open,
  mayLoseKeys = false,
  say,
}: FollowOptions): Promise<FollowedKeyring> {
  const first = await source.read()
  if (!first) throw new PseudolakeError('internal/bug', 'a keyring that was never read counts as read')
  const keyring = liveKeyring(openWiping(first.data, open))
  first.accept()
  let looking: Promise<Reloaded> | undefined
  let said = ''

  async function look(anew: boolean): Promise<Reloaded> {
    try {
      if (anew) await source.refresh?.()
      const read = await source.read()
      if (read) takeOver(read)
      said = ''
      return read ? 'replaced' : 'unchanged'
    } catch (error) {
      // The message of a foreign error may quote what it read.
      const known = isPseudolakeError(error)
      const reason = known ? error.message : error instanceof Error ? error.name : typeof error
      if (said !== reason) say({ event: 'keyring-not-reloaded', code: known ? error.code : 'internal/bug', reason })
      said = reason
      return 'failed'
    }
  }

  function takeOver({ data, accept }: ReadKeyring): void {
    const next = openWiping(data, open)
    let lost: string[]
    try {
      lost = missingIn(next, keyring)
      if (lost.length > 0 && !mayLoseKeys)
        throw unfit(`it lacks ${lost.join(', ')}, in use until now: retire a key first, or start anew`)
    } catch (error) {
      next.dispose()
      throw error
    }
    keyring.replace(next)
    accept()
    const keys = next.domains.reduce((sum, domain) => sum + domain.keys.length, 0)
    say({ event: 'keyring-reloaded', domains: next.domains.length, keys, ...(lost.length > 0 && { lost }) })
  }

  return {
    keyring,
    reload(anew = false) {
      looking ??= look(anew).finally(() => {
        looking = undefined
      })
      return looking
    },
  }
}

function openWiping(data: KeyringData, open: (data: KeyringData) => Keyring): Keyring {
  try {
    return open(data)
  } finally {
    wipe(data)
  }
}

/**
 * The keys in use that another keyring has no more. One that has other bytes under the same id would make pseudonyms in silence that join with
 * nothing.
 * @throws PseudolakeError `keyring/invalid`
 */
function missingIn(next: Keyring, live: LiveKeyring): string[] {
  const missing: string[] = []
  const held = live.hold()
  try {
    for (const { domain, keys } of held.keyring.domains)
      for (const { id, state } of keys) {
        if (state === 'retired') continue
        const there = next.domains.find((other) => other.domain === domain)?.keys.find((key) => key.id === id)
        if (!there) missing.push(id)
        else if (there.state !== 'retired' && checkOf(held.keyring, domain, id) !== checkOf(next, domain, id))
          throw unfit(`key ${id} of the domain ${domain} is another one than before`)
      }
  } finally {
    held.release()
  }
  return missing
}

/** A key's bytes are not kept to be compared; what it makes of a constant says as much. */
function checkOf(keyring: Keyring, domain: string, id: string): string | undefined {
  return keyring.forward(domain, id).pseudonymize(['pseudolake keyring check'], { deterministic: true })[0]
}

function unfit(what: string): PseudolakeError {
  return new PseudolakeError('keyring/invalid', what)
}
