import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { createApp, type LogEntry } from '../app.ts'
import type { Audit } from '../audit/audit.ts'
import { everybody } from '../auth.ts'
import { openKeyringFile } from '../start.ts'
import { listenShadow } from './listen.ts'
import { differences, type ShadowReport, tally } from './report.ts'
import { shadow } from './shadow.ts'
import { appSide, httpSide, type SideService } from './sides.ts'

export interface ShadowStartOptions {
  /** URL of the old service; its path goes before those that are asked for. */
  readonly old: string
  /** URL of the new one; or `keyring`. */
  readonly new?: string
  /** A keyring's file, to hold its keys against the old service without a new one that runs. */
  readonly keyring?: string
  /** @default 127.0.0.1 */
  readonly host?: string
  /** @default 0: any free one */
  readonly port?: number
  /** Share of the calls that are compared. @default 1 */
  readonly sample?: number
  /** For the new service, in place of the callers' own. */
  readonly apiKey?: string
  /** For the new service's way back. */
  readonly purpose?: string
  /** Permits `http://` beyond loopback. @default false */
  readonly allowHttp?: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** @default nothing is logged */
  readonly log?: (entry: LogEntry) => void
  /** How often the report so far is logged. @default 60_000 */
  readonly reportEveryMs?: number
}

export interface RunningShadow {
  readonly url: string
  report(): ShadowReport
  /** Takes no new calls, waits for those under way and their comparisons. */
  close(): Promise<ShadowReport>
}

/** The reference's Lambda has 60 s, the gateway before it 29. */
const TIMEOUT_MS = 60_000
const MAX_ANSWER_BYTES = 16 * 2 ** 20

/**
 * Starts a shadow; it passes calls on when this resolves.
 * @throws PseudolakeError `options/invalid`, `keyring/*`, `service/port-in-use`
 */
export async function startShadow(options: ShadowStartOptions): Promise<RunningShadow> {
  const { env, clock, random, log = () => undefined, sample = 1, reportEveryMs = 60_000 } = options
  if (!(sample >= 0 && sample <= 1))
    throw new PseudolakeError('options/invalid', '--sample: expected a share from 0 to 1', { option: 'sample' })
  const how = { env, timeoutMs: TIMEOUT_MS, maxBytes: MAX_ANSWER_BYTES, allowHttp: options.allowHttp ?? false }
  const old = await httpSide(options.old, 'old', how)
  const fresh = await freshSide(options, () => httpSide(options.new ?? '', 'new', how))
  const counted = tally()
  const { apiKey, purpose } = options
  const standing = shadow({
    old,
    fresh,
    sample,
    random,
    tally: counted,
    ...(apiKey !== undefined && { apiKey }),
    ...(purpose !== undefined && { purpose }),
  })
  const closeSides = () => Promise.all([old.close(), fresh.close()])
  const listening = await listenShadow(standing, { host: options.host ?? '127.0.0.1', port: options.port ?? 0 }).catch(
    async (error: unknown) => {
      await closeSides()
      throw error
    },
  )
  const say = () =>
    log({ level: differences(counted.report()) > 0 ? 'warn' : 'info', event: 'shadow', ...flat(counted.report()) })
  const stop = new AbortController()
  const saying = (async () => {
    for (;;) {
      await clock.sleep(reportEveryMs, stop.signal)
      say()
    }
  })().catch(() => undefined)
  log({ level: 'info', event: 'started', url: listening.url, old: old.name, new: fresh.name })
  let closing: Promise<ShadowReport> | undefined
  return {
    url: listening.url,
    report: counted.report,
    close() {
      closing ??= (async () => {
        await listening.close()
        await standing.settled()
        stop.abort()
        await saying
        await closeSides()
        say()
        return counted.report()
      })()
      return closing
    },
  }
}

async function freshSide(options: ShadowStartOptions, http: () => Promise<SideService>): Promise<SideService> {
  if ((options.new === undefined) === (options.keyring === undefined))
    throw new PseudolakeError('options/invalid', 'expected one of --new and --keyring')
  if (options.keyring === undefined) return http()
  const keyring = await openKeyringFile(options.keyring)
  const app = createApp({
    keyring,
    identify: everybody(),
    audit: UNRECORDED,
    clock: options.clock,
    requestId: randomUUID,
    pause: setImmediate,
    log: () => undefined,
  })
  return { ...appSide(app), close: async () => keyring.dispose() }
}

/** What a comparison turns back never leaves this process: there is nothing to put on record. */
const UNRECORDED: Audit = {
  record: async () => undefined,
  seal: async () => ({ chain: '', n: 0, hash: '' }),
  close: async () => undefined,
}

/** A report as fields of a log line. */
function flat({ requests, old_failed, directions, statuses }: ShadowReport): Record<string, string | number> {
  const fields: Record<string, string | number> = { requests, old_failed }
  for (const [direction, { different, ...own }] of Object.entries(directions)) {
    for (const [name, count] of Object.entries(own)) fields[`${direction}_${name}`] = count
    for (const [what, count] of Object.entries(different)) fields[`${direction}_different_${what}`] = count
  }
  const pairs = Object.entries(statuses).map(([pair, count]) => `${pair}:${count}`)
  return pairs.length > 0 ? { ...fields, statuses: pairs.join(' ') } : fields
}
