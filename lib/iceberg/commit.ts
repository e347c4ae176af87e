import type { Clock } from '../core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from './catalogs/catalog.ts'
import { storageLocation } from './locations.ts'
import type { TableMetadata } from './metadata.ts'
import type { TableUpdate } from './updates.ts'

/**
 * One commit, however many tries it takes.
 *
 * What is expensive was written before (prepare.ts); a try reads the table anew, stages what depends on it and offers the swap. A lost race
 * is tried again. An answer that was lost is not: whether it happened is asked, and if that stays open nothing is deleted, as a table whose
 * metadata names deleted files cannot be read any more.
 */

export interface CommitContext {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal?: AbortSignal
}

export interface Commit {
  readonly catalog: Catalog
  readonly table: TableIdentifier
  /** Whether the table is made when there is none; else its absence is `table/not-found`. */
  readonly create: boolean
  /**
   * Stages the change upon `base`, undefined for a table to be made, and adds what it writes for this try alone to `files`, before it
   * writes it. What it throws ends the commit: nothing was published.
   */
  stage(base: TableState | undefined, attempt: number, files: string[]): Promise<readonly TableUpdate[]>
  /** Whether a table holds this commit: asked when an answer was lost. */
  isIn(metadata: TableMetadata): boolean
  /** Which of the files of all tries a table that holds this commit needs. */
  uses(metadata: TableMetadata, file: string): boolean
  /** Files written once for all tries, removed when the commit has definitely failed. */
  readonly prepared: readonly string[]
}

export interface Committed {
  readonly state: TableState
  /** Tries it took, 1 without a conflict. */
  readonly attempts: number
}

/** How often and how long a lost race is tried again: the table's `commit.retry.*` properties (milliseconds), these where it has none. */
export const RETRY_DEFAULTS = { retries: 30, minWaitMs: 100, maxWaitMs: 10_000, budgetMs: 30 * 60_000 } as const
/** How often a lost answer is looked for, and the first wait, which doubles. */
const STATUS_CHECKS = 3
const STATUS_WAIT_MS = 250

/**
 * @throws PseudolakeError `table/conflict` when the retries or their time are used up; `table/commit-unknown`; what `stage` throws
 */
export async function commit(change: Commit, { clock, random, signal }: CommitContext): Promise<Committed> {
  const { catalog, table } = change
  const files: string[] = []
  const started = clock.now()
  let conflict: unknown
  let inFlight = false
  try {
    for (let attempt = 1; ; attempt++) {
      let base = await load(change).catch((error: unknown) => {
        // Nor is it known then whether what was refused is in the table all the same.
        if (attempt === 1 || isPseudolakeError(error, 'table/not-found')) throw error
        inFlight = true
        throw unknown(change, error)
      })
      // Somebody else "was first" with our own commit: its answer was lost on the way, and a retry below us found it done.
      if (attempt > 1 && base && change.isIn(base.metadata)) return await done(base, attempt - 1)
      if (attempt > 1) {
        await pause(attempt, base)
        // Made on what was there before the wait, a try would lose to whoever commits more often than that, and the longer the waits the surer.
        // What was refused is not in it: that was looked at before the wait, so what fails here has published nothing.
        base = await load(change)
      }
      signal?.throwIfAborted()
      const updates = await change.stage(base, attempt, files)
      signal?.throwIfAborted()
      try {
        inFlight = true
        return await done(await catalog.commit(table, base, updates), attempt)
      } catch (error) {
        if (isPseudolakeError(error, 'table/commit-unknown')) return await done(await resolve(error), attempt)
        inFlight = false
        if (!isPseudolakeError(error, 'table/conflict')) throw error
        conflict = error
      }
    }
  } catch (error) {
    if (!inFlight) await remove([...files, ...change.prepared])
    throw error
  }

  /** Full jitter: writers refused together must not come back together. */
  async function pause(attempt: number, base: TableState | undefined): Promise<void> {
    const { retries, minWaitMs, maxWaitMs, budgetMs } = retryOf(base?.metadata.properties ?? {})
    const wait = random() * Math.min(maxWaitMs, minWaitMs * 2 ** (attempt - 2))
    if (attempt - 1 > retries || clock.now() - started + wait > budgetMs)
      throw new PseudolakeError(
        'table/conflict',
        `other writers were first in ${attempt - 1} tries to commit to ${table.database}.${table.name}`,
        { attempts: attempt - 1 },
        { cause: conflict },
      )
    await clock.sleep(wait, signal)
  }

  async function resolve(error: PseudolakeError): Promise<TableState> {
    for (let check = 0; check < STATUS_CHECKS; check++) {
      if (check > 0) await clock.sleep(STATUS_WAIT_MS * 2 ** (check - 1))
      try {
        const state = await catalog.load(table)
        if (change.isIn(state.metadata)) return state
      } catch (cause) {
        if (!(cause instanceof PseudolakeError)) throw cause
      }
    }
    throw error
  }

  async function done(state: TableState, attempts: number): Promise<Committed> {
    inFlight = true
    await remove(files.filter((file) => !change.uses(state.metadata, file)))
    return { state, attempts }
  }

  /** Best effort: what stays is an orphan, which costs room and nothing else; the commit's own outcome must not be hidden by it. */
  async function remove(locations: readonly string[]): Promise<void> {
    for (const location of locations)
      await catalog.storage.delete(storageLocation(location)).catch((error: unknown) => {
        if (!(error instanceof PseudolakeError)) throw error
      })
  }
}

async function load({ catalog, table, create }: Commit): Promise<TableState | undefined> {
  try {
    return await catalog.load(table)
  } catch (error) {
    if (create && isPseudolakeError(error, 'table/not-found')) return undefined
    throw error
  }
}

function unknown({ table: { database, name } }: Commit, cause: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/commit-unknown',
    `whether the commit to ${database}.${name} happened is not known: the table cannot be read`,
    { database, name },
    { cause },
  )
}

function retryOf(properties: Readonly<Record<string, string>>) {
  const number = (key: string, missing: number) => {
    const value = Number(properties[key])
    return properties[key] !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : missing
  }
  return {
    retries: number('commit.retry.num-retries', RETRY_DEFAULTS.retries),
    minWaitMs: number('commit.retry.min-wait-ms', RETRY_DEFAULTS.minWaitMs),
    maxWaitMs: number('commit.retry.max-wait-ms', RETRY_DEFAULTS.maxWaitMs),
    budgetMs: number('commit.retry.total-timeout-ms', RETRY_DEFAULTS.budgetMs),
  }
}
