import { randomBytes } from 'node:crypto'
import { readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { PseudolakeError } from '../lib/core/errors.ts'
import { type Limit, quotas, type Usage, usageLimits } from './limits.ts'

/**
 * Keeps what callers have used of their quotas over restarts, in a file of one process. Written at most once a second: a process that
 * is killed forgets what came since, in the callers' favour.
 */
export interface UsageFile {
  /** What earlier processes counted. */
  readonly used: Usage
  /** Writes, in a while, what is counted by then. */
  changed(usage: () => Usage): void
  /** Writes what is left. */
  close(): Promise<void>
}

export interface CallerLimits {
  readonly limit: Limit
  close(): Promise<void>
}

/**
 * The limits of a running service's callers.
 * @param file where what was used of quotas is kept, once a caller has one; undefined where none ever can
 * @param requestsPerSecond of callers without a rate of their own
 */
export async function callerLimits(
  file: string | undefined,
  requestsPerSecond: number | undefined,
  failed: (error: unknown) => void,
): Promise<CallerLimits> {
  const rate =
    requestsPerSecond === undefined
      ? undefined
      : { perSecond: requestsPerSecond, burst: Math.max(1, requestsPerSecond) }
  const store = file === undefined ? undefined : await openUsage(file, failed)
  const counted = quotas(store?.used)
  const limit = usageLimits(counted, rate)
  return {
    limit(caller, nowMs, wallMs) {
      const refused = limit(caller, nowMs, wallMs)
      if (caller.quota && !refused) store?.changed(counted.usage)
      return refused
    },
    close: async () => store?.close(),
  }
}

const VERSION = 1
const EVERY_MS = 1_000

/**
 * @param failed told of a write that failed; the next one tries again
 * @throws PseudolakeError `config/invalid` where the file is none of ours, `input/not-found` where it can't be read
 */
export async function openUsage(file: string, failed: (error: unknown) => void): Promise<UsageFile> {
  const used = await load(file)
  let timer: NodeJS.Timeout | undefined
  let pending: (() => Usage) | undefined
  let writing: Promise<void> = Promise.resolve()

  async function write(): Promise<void> {
    const usage = pending
    pending = undefined
    if (!usage) return
    const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
    try {
      await writeFile(temporary, `${JSON.stringify({ version: VERSION, callers: usage() })}\n`, { mode: 0o600 })
      await rename(temporary, file)
    } catch (error) {
      await unlink(temporary).catch(() => undefined)
      throw error
    }
  }

  return {
    used,
    changed(usage) {
      pending = usage
      timer ??= setTimeout(() => {
        timer = undefined
        writing = write().catch(failed)
      }, EVERY_MS).unref()
    },
    async close() {
      clearTimeout(timer)
      await writing
      await write().catch(failed)
    },
  }
}

async function load(file: string): Promise<Usage> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return {}
    throw new PseudolakeError('input/not-found', `${file}: can't be read (${code ?? 'unknown error'})`, { file })
  }
  const usage = parseUsage(text)
  if (usage) return usage
  throw new PseudolakeError('config/invalid', `${file}: no record of usage; without it counting starts anew`, { file })
}

/** Undefined for a text that is none. */
export function parseUsage(text: string): Usage | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { version, callers } = parsed as { version?: unknown; callers?: unknown }
  if (version !== VERSION || typeof callers !== 'object' || callers === null || Array.isArray(callers)) return undefined
  const counts = Object.values(callers as Record<string, unknown>)
  return counts.every(isCount) ? (callers as Usage) : undefined
}

function isCount(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { period, requests } = value as { period?: unknown; requests?: unknown }
  return typeof period === 'string' && Number.isSafeInteger(requests) && (requests as number) >= 0
}
