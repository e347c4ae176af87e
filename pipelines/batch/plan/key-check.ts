import type { Client } from '../../../lib/client/compose.ts'
import type { Clock } from '../../../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import { identify, type Pinned } from '../identities.ts'
import type { ColumnRule } from '../job.ts'
import type { PlannedService } from './document.ts'

export interface PlannedKeys {
  readonly pinned: readonly Pinned[]
  readonly status: PlannedService['key_check']
  readonly note?: string
}

/** A run waits longer for a service that restarts; whoever asks for a plan waits in front of a screen. */
const WAIT_MS = 10_000

/**
 * The key check of a run, the one request that a plan makes: it changes nothing, and a plan that is fine though the run would stop at
 * another key is no plan. A service that can't be reached is a note: plans are made on trains too.
 * @throws PseudolakeError `table/key-changed`, and what the service says to a caller it does not know
 */
export async function planKeys(
  columns: readonly { readonly rule: ColumnRule; readonly column: string }[],
  properties: Readonly<Record<string, string>>,
  connect: () => Promise<Client>,
  options: {
    readonly allowKeyChange: boolean
    readonly command: string
    readonly newTable: string
    readonly signal: AbortSignal
    readonly clock: Clock
  },
): Promise<PlannedKeys> {
  if (columns.length === 0) return { pinned: [], status: 'not-asked' }
  const { clock, signal } = options
  const waited = new AbortController()
  const answered = new AbortController()
  const timer = clock.sleep(WAIT_MS, AbortSignal.any([signal, answered.signal])).then(
    () => waited.abort(new PseudolakeError('service/timeout', `no answer in ${WAIT_MS / 1000} s`)),
    () => {},
  )
  let client: Client | undefined
  try {
    client = await connect()
    const pinned = await identify(columns, properties, client.client, {
      ...options,
      signal: AbortSignal.any([signal, waited.signal]),
    })
    return { pinned, status: 'passed' }
  } catch (error) {
    signal.throwIfAborted()
    if (!unreached(error)) throw error
    const note =
      'the service was not reached: whether its key is the table’s, and whether it accepts the caller, is not known'
    return { pinned: [], status: 'not-reached', note }
  } finally {
    answered.abort()
    await timer
    await client?.close()
  }
}

function unreached(error: unknown): boolean {
  return (['service/unavailable', 'service/timeout', 'service/throttled'] as const).some((code) =>
    isPseudolakeError(error, code),
  )
}
