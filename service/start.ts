import { randomBytes, randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { type Clock, systemClock } from '../lib/core/clock.ts'
import { PseudolakeError } from '../lib/core/errors.ts'
import {
  type CacheOptions,
  LEAST_CACHE_BYTES,
  MOST_CACHE_BYTES,
  type PseudonymCache,
  pseudonymCache,
} from '../lib/crypto/cache/cache.ts'
import type { OpenKernel, RandomBytes } from '../lib/crypto/kernel.ts'
import { type Keyring, openKeyring, wipe } from '../lib/crypto/keyring.ts'
import { nobleKernel } from '../lib/crypto/noble.ts'
import { chooseKernel, type KernelName } from '../lib/crypto/open.ts'
import type { Storage } from '../lib/storage/storage.ts'
import { createApp, type LogEntry, type ObservedCall } from './app.ts'
import { openAudit } from './audit/open.ts'
import { followAccess } from './callers/access.ts'
import { emulated } from './emulator/emulate.ts'
import type { Emulation } from './emulator/options.ts'
import type { AuthOptions } from './env.ts'
import { type ListenOptions, listen } from './handlers/http.ts'
import { loadKeyring } from './keys/file.ts'
import { followKeyring, type KeyringSource, keyringFile, type Reloaded } from './keys/reload.ts'
import { metrics } from './metrics.ts'
import { kernelThreads, type Threads } from './operations/threads/threads.ts'
import { callerLimits } from './usage.ts'

export interface StartOptions extends Partial<ListenOptions> {
  /** Path of the keyring file; or where else it comes from, as `keyringInSecrets` is. */
  readonly keyring: string | KeyringSource
  readonly auth: AuthOptions
  /** @default 127.0.0.1 */
  readonly host?: string
  /** 0: any free one. @default 0 */
  readonly port?: number
  /** Folder of the record of calls, or a location of `storage`. @default `<keyring>.audit`; needed where the keyring is no file */
  readonly audit?: string
  /** Where the record's head is put down every minute: a file that is appended to, or a location of `storage`. @default `<audit>.anchors.jsonl` */
  readonly anchors?: string
  /** For a record and anchors that are not on this machine's disk. @default none: both are paths */
  readonly storage?: Storage
  /** @default nothing is logged */
  readonly log?: (entry: LogEntry) => void
  /** Told of each call when it is answered, as `emf` is. @default nobody */
  readonly observe?: (call: ObservedCall) => void
  /** @default 256 */
  readonly maxInFlight?: number
  /** For each caller that has no rate of its own. @default no limit */
  readonly requestsPerSecond?: number
  /** File that remembers what was used of quotas; there is none where no caller has a quota. @default `<keyring>.usage.json`; `<api keys>.usage.json` where only that is a file; where neither is, nothing is remembered */
  readonly usage?: string
  /** @default `wasm`; `noble` where that can't run, which is logged */
  readonly kernel?: KernelName
  /** That work on large requests, and on many at once, the main one included; 1: it alone. They start when there is that much to do. @default a processor each, 4 at most */
  readonly threads?: number
  /** Memory for what each caller asked before, of deterministic pseudonyms; 0: none, everything is made anew. @default 33_554_432 */
  readonly cacheBytes?: number
  /** How long that is kept. @default 600_000 */
  readonly cacheAgeMs?: number
  /** Behaves as API Gateway and Lambda would before this, for load tests. @default it does not */
  readonly emulation?: Emulation
  /** How long `close` lets `GET /ready` say no before it takes no more calls, so that a load balancer sees it. @default 0 */
  readonly drainMs?: number
  /** How often it is looked whether the keyring, or the callers' file, was replaced; 0: only when `reload` is called. @default 5_000 */
  readonly keyringCheckMs?: number
  readonly clock?: Clock
  readonly randomBytes?: RandomBytes
}

export interface RunningService {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Takes over the keyring as it is now. The keys before serve calls under way, then they are wiped; what can't be used is logged and changes nothing. */
  reload(): Promise<Reloaded>
  /** Takes over the callers' file as it is now, all of it or, where it can't be right, nothing. */
  reloadCallers(): Promise<Reloaded>
  /** Wipes what is remembered of earlier calls. */
  forget(): void
  /** Takes no new calls, waits for those under way, puts the last on record, wipes the keys. */
  close(): Promise<void>
}

const CACHE_BYTES = 32 << 20
const CACHE_AGE_MS = 600_000
/** How often what is too old is overwritten. */
const CACHE_EXPIRY_MS = 10_000
/** A look at the file's time and size. */
const KEYRING_CHECK_MS = 5_000

/**
 * Starts the service; it answers when this resolves.
 * @throws PseudolakeError `keyring/*`, `service/no-callers`, `service/port-in-use`, `config/invalid`, `options/invalid`, `storage/*`
 */
export async function startService(options: StartOptions): Promise<RunningService> {
  const { auth, host = '127.0.0.1', port = 0, log = () => undefined } = options
  const clock = options.clock ?? systemClock()
  const random = options.randomBytes ?? randomBytes
  const { maxInFlight, requestsPerSecond } = options

  const file = typeof options.keyring === 'string' ? options.keyring : undefined
  const place = options.audit ?? (file && `${file}.audit`)
  if (place === undefined)
    throw new PseudolakeError(
      'options/invalid',
      '--audit: expected a folder or a location, since the keyring is no file',
    )
  const access = await followAccess(auth, host, log)
  const limits = await callerLimits(
    // Quotas may come with another file of callers.
    auth.apiKeys === undefined ? undefined : (options.usage ?? usageBeside(file, auth.apiKeys)),
    requestsPerSecond,
    () => log({ level: 'error', event: 'usage-not-kept' }),
  )
  const openKernel = chooseKernel(options.kernel, (reason) => log({ level: 'warn', event: 'slow-kernel', reason }))
  const threads = kernelThreads({
    threads: options.threads,
    kernel: openKernel === nobleKernel ? 'noble' : 'wasm',
    say: (reason) => log({ level: 'warn', event: 'no-threads', reason }),
  })
  const { cacheBytes = CACHE_BYTES, cacheAgeMs = CACHE_AGE_MS } = options
  const cache = openCache(
    { bytes: cacheBytes, ageMs: cacheAgeMs, now: () => clock.now(), randomBytes: random },
    (reason) => log({ level: 'warn', event: 'no-cache', reason }),
  )
  const keys = await followKeyring({
    source: typeof options.keyring === 'string' ? keyringFile(options.keyring) : options.keyring,
    // A store has a version before and no more: of a secret that was replaced twice, the first is gone.
    mayLoseKeys: file === undefined,
    open: (data) => openKeyring(data, threads.wrap(cache?.wrap(openKernel) ?? openKernel), { randomBytes: random }),
    say: (event) => log({ level: event.event === 'keyring-reloaded' ? 'info' : 'error', ...event }),
  })
  const { keyring } = keys
  async function reloadCallers(anew: boolean): Promise<Reloaded> {
    const reloaded = await access.reload(anew)
    // What was remembered is of callers as they were.
    if (reloaded === 'replaced') cache?.clear()
    return reloaded
  }
  const { keyringCheckMs = KEYRING_CHECK_MS } = options
  try {
    const counts = metrics(runtime)
    const audit = await openAudit({
      place,
      ...(options.anchors !== undefined && { anchors: options.anchors }),
      ...(options.storage && { storage: options.storage }),
      clock,
      randomBytes: random,
      failed() {
        counts.anchorFailed()
        log({ level: 'error', event: 'anchor-failed' })
      },
      anchored: ({ n }) => counts.anchored(n, clock.wall()),
    })
    const own = createApp({
      keyring,
      identify: access.identify,
      ...(access.allowsHost && { allowsHost: access.allowsHost }),
      audit,
      clock,
      requestId: randomUUID,
      pause: setImmediate,
      threads,
      cache,
      log,
      limit: limits.limit,
      metrics: counts,
      ...(options.observe && { observe: options.observe }),
      ...(maxInFlight !== undefined && { maxInFlight }),
    })
    const { emulation } = options
    const app = emulation ? emulated(own, emulation, clock, counts.emulated) : own
    if (emulation) log({ level: 'warn', event: 'emulating', ...emulation })
    try {
      const listening = await listen(app, { ...options, host, port })
      log({ level: 'info', event: 'started', url: listening.url, insecure: auth.insecureNoAuth === true })
      let closing: Promise<void> | undefined
      const checks =
        keyringCheckMs > 0
          ? setInterval(() => void Promise.all([keys.reload(), reloadCallers(false)]), keyringCheckMs).unref()
          : undefined
      const expiry = cache && setInterval(() => cache.expire(), CACHE_EXPIRY_MS).unref()
      return {
        url: listening.url,
        reload: () => keys.reload(true),
        reloadCallers: () => reloadCallers(true),
        forget: () => cache?.clear(),
        close() {
          clearInterval(checks)
          clearInterval(expiry)
          app.drain()
          closing ??= clock
            .sleep(options.drainMs ?? 0)
            .then(() => listening.close())
            .then(() => audit.close())
            .finally(() => limits.close())
            .finally(async () => {
              keyring.dispose()
              await threads.close()
              log({ level: 'info', event: 'stopped' })
            })
          return closing
        },
      }
    } catch (error) {
      await audit.close()
      throw error
    }
  } catch (error) {
    keyring.dispose()
    throw error
  }
}

function usageBeside(keyring: string | undefined, apiKeys: AuthOptions['apiKeys']): string | undefined {
  const file = keyring ?? (typeof apiKeys === 'string' ? apiKeys : undefined)
  return file && `${file}.usage.json`
}

/** @throws PseudolakeError `options/invalid` */
function openCache(options: CacheOptions, say: (reason: string) => void): PseudonymCache | undefined {
  const { bytes, ageMs } = options
  if (bytes === 0) return undefined
  if (!(bytes >= LEAST_CACHE_BYTES && bytes <= MOST_CACHE_BYTES))
    throw new PseudolakeError(
      'options/invalid',
      `cache: expected 0, or from ${LEAST_CACHE_BYTES} to ${MOST_CACHE_BYTES} bytes, got ${bytes}`,
    )
  if (!(ageMs >= 1_000 && ageMs <= 86_400_000))
    throw new PseudolakeError('options/invalid', `cache: expected an age from a second to a day, got ${ageMs} ms`)
  try {
    return pseudonymCache(options)
  } catch (error) {
    say(error instanceof Error ? error.name : typeof error)
    return undefined
  }
}

function runtime() {
  const { user, system } = process.cpuUsage()
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    startedSeconds: performance.timeOrigin / 1000,
  }
}

/**
 * Opens a keyring file for use in this process (`embedded`). The caller disposes of it.
 * @param options `threads`: may work with its keys, until it is disposed of
 * @throws PseudolakeError `keyring/not-found`, `keyring/readable`, `keyring/invalid`
 */
export async function openKeyringFile(
  file: string,
  {
    openKernel = chooseKernel(undefined, () => undefined),
    randomBytes: random = randomBytes,
    threads,
  }: { openKernel?: OpenKernel; randomBytes?: RandomBytes; threads?: Threads } = {},
): Promise<Keyring> {
  const data = await loadKeyring(file)
  try {
    return openKeyring(data, threads ? threads.wrap(openKernel) : openKernel, { randomBytes: random })
  } finally {
    wipe(data)
  }
}
