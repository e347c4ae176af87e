import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { LogEntry } from '../app.ts'
import { type Access, type AuthOptions, readAccess } from '../env.ts'
import type { Reloaded } from '../keys/reload.ts'
import { signatureOf } from '../keys/signature.ts'

export interface FollowedAccess extends Pick<Access, 'identify' | 'allowsHost'> {
  /**
   * Takes over the callers' file, or secret, as it is now, all of it or nothing: what can't be read, or can't be right, changes nothing and is logged. One look
   * at a time; who asks meanwhile gets the same answer. Never throws.
   * @param anew also where what was read is kept for a while. @default false
   */
  reload(anew?: boolean): Promise<Reloaded>
}

/** Who may call, by a file or a secret that may be replaced. @throws PseudolakeError as {@link readAccess} does */
export async function followAccess(
  auth: AuthOptions,
  host: string,
  log: (entry: LogEntry) => void,
): Promise<FollowedAccess> {
  const { apiKeys } = auth
  /** Of a secret it is the text: hashes of keys, which are in memory anyway, or the one key, as its secret is kept. */
  async function signature(): Promise<string | undefined> {
    if (apiKeys === undefined) return undefined
    return typeof apiKeys === 'string' ? signatureOf(apiKeys) : apiKeys.secrets.get(apiKeys.name)
  }
  // Before the reading: a file that is replaced in between is read once more, not never.
  let accepted = await signature()
  let access = await readAccess(auth, host)
  warn(access)
  let looking: Promise<Reloaded> | undefined
  let said = ''

  function warn({ unboundGrants }: Access): void {
    for (const caller of unboundGrants) log({ level: 'warn', event: 'unbound-grant', caller })
  }

  async function look(anew: boolean): Promise<Reloaded> {
    if (apiKeys === undefined) return 'unchanged'
    try {
      if (anew && typeof apiKeys !== 'string') await apiKeys.secrets.refresh(apiKeys.name)
      const now = await signature()
      if (now !== undefined && now === accepted) {
        said = ''
        return 'unchanged'
      }
      const next = await readAccess(auth, host)
      accepted = now
      access = next
      said = ''
      warn(next)
      log({ level: 'info', event: 'callers-reloaded' })
      return 'replaced'
    } catch (error) {
      // The message of a foreign error may quote what it read.
      const known = isPseudolakeError(error)
      const reason = known ? error.message : error instanceof Error ? error.name : typeof error
      if (reason !== said)
        log({ level: 'error', event: 'callers-not-reloaded', code: known ? error.code : 'internal/bug', reason })
      said = reason
      return 'failed'
    }
  }

  return {
    identify: (credentials) => access.identify(credentials),
    ...(access.allowsHost && { allowsHost: access.allowsHost }),
    reload(anew = false) {
      looking ??= look(anew).finally(() => {
        looking = undefined
      })
      return looking
    },
  }
}
