import type { DomainSummary, Keyring } from '../../lib/crypto/keyring.ts'

/**
 * A keyring that is replaced while it is in use. Who works with keys holds the keyring meanwhile: one that was replaced is wiped when the
 * last one lets go of it, so no call that has begun finds its key gone.
 */
export interface LiveKeyring {
  /** Of the keyring as it is now. */
  readonly domains: readonly DomainSummary[]
  hold(): HeldKeyring
  /** From now on others get this one; the one before is wiped once nobody holds it. */
  replace(next: Keyring): void
  /** Wipes what is there, whoever holds it, and what comes. */
  dispose(): void
}

export interface HeldKeyring {
  readonly keyring: Keyring
  /** Harmless twice. */
  release(): void
}

export function liveKeyring(first: Keyring): LiveKeyring {
  let current = counted(first)
  /** Replaced, and held by somebody still. */
  const leaving = new Set<Counted>()
  let disposed = false
  return {
    get domains() {
      return current.keyring.domains
    },
    hold: () => current.hold(),
    replace(next) {
      if (disposed) return next.dispose()
      const old = current
      current = counted(next)
      leaving.add(old)
      old.end(() => leaving.delete(old))
    },
    dispose() {
      disposed = true
      for (const each of [current, ...leaving]) each.keyring.dispose()
    },
  }
}

/** Works with the keys as they are now, until the work has ended. */
export async function withKeys<T>(keys: Keyring | LiveKeyring, work: (keyring: Keyring) => Promise<T>): Promise<T> {
  if (!('hold' in keys)) return work(keys)
  const held = keys.hold()
  try {
    return await work(held.keyring)
  } finally {
    held.release()
  }
}

interface Counted {
  readonly keyring: Keyring
  hold(): HeldKeyring
  /** Wipes it when nobody holds it any more. */
  end(done: () => void): void
}

function counted(keyring: Keyring): Counted {
  let holders = 0
  let ended: (() => void) | undefined
  const endIfFree = () => {
    if (!ended || holders > 0) return
    keyring.dispose()
    ended()
  }
  return {
    keyring,
    hold() {
      holders++
      let released = false
      return {
        keyring,
        release() {
          if (released) return
          released = true
          holders--
          endIfFree()
        },
      }
    },
    end(done) {
      ended = done
      endIfFree()
    },
  }
}
