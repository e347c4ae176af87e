/**
 * A stream's run: sessions one after the other, each the owner of the stream from a commit of its own on; standby while another one is; and
 * waiting where a service or a storage is away. docs/stream.md has the promises.
 */
import type { Client } from '../../lib/client/compose.ts'
import { isValueFault } from '../../lib/client/faults.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { gateWith } from '../batch/gate/open.ts'
import { calledOf } from '../batch/job.ts'
import { replacersFor } from '../batch/replacer.ts'
import { Timings } from '../batch/timings.ts'
import { Dedupe } from './dedupe.ts'
import { Heartbeat } from './heartbeat.ts'
import type { StreamJob } from './job.ts'
import { readStreamMark } from './mark.ts'
import type { StreamOptions, StreamOutside } from './outside.ts'
import { Sealing } from './quarantine/sealing.ts'
import { Caution } from './refused.ts'
import type { StreamEvent, StreamGauges, StreamReport, StreamStatus } from './report.ts'
import { Session } from './session.ts'
import type { SessionShared } from './shared.ts'
import { add, type Counts, noCounts, shownPositions } from './totals.ts'
import { keepUp } from './upkeep.ts'

/** Between two tries where something is away that a run needs. */
const RETRY = { firstMs: 500, mostMs: 30_000 } as const
/** How long something may be away without a commit in between. */
const OUTAGE_MS = 30 * 60_000
/** Before a run was an owner for the first time: an endpoint at which nobody answers is told soon. */
const START_OUTAGE_MS = 60_000
/** How often one that starts may find that the owner committed first, before it stands by: others may be starting too. */
const MOST_BEATEN = 10
/** Of the memory that a run may use, what keys may take that were seen. */
const DEDUPE_SHARE = 1 / 8
/** Names of fields that are told apart. */
const MOST_FIELDS = 1000
const NO_SHARDS = { reading: 0, waiting: 0, ended: 0 } as const

/** @throws PseudolakeError of the table in lib/core/errors.ts; `context.outcome` says whether anything was published */
export async function runStream(
  job: StreamJob,
  outside: StreamOutside,
  options: StreamOptions = {},
): Promise<StreamReport> {
  return new StreamRun(job, outside, options).run()
}

export class StreamRun {
  readonly #job: StreamJob
  readonly #outside: StreamOutside
  readonly #options: StreamOptions
  readonly #counts: Counts = noCounts()
  readonly #notes = new Set<string>()
  readonly #started: number
  readonly #heartbeat: Heartbeat
  #state: StreamGauges['state'] = 'starting'
  #session: Session | undefined
  #client: Client | undefined
  #shared: SessionShared | undefined
  #throttled = 0
  readonly #ignored = new Set<string>()
  #failures = 0
  #failingSince: number | undefined
  /** A session failed with something that was to be committed: only a commit shows that what was away is back. */
  #stuck = false
  #patience = START_OUTAGE_MS
  #lastCommit: number | undefined
  #alarmed = false
  /** Epoch up to which this run was the owner, and has not been told otherwise. */
  #owned: number | undefined
  /** Was the owner, or stood by: from then on another owner is obeyed. Who only starts takes over. */
  #settled = false
  /** Tries to take over before which another commit came. */
  #beaten = 0

  constructor(job: StreamJob, outside: StreamOutside, options: StreamOptions) {
    this.#job = job
    this.#outside = outside
    this.#options = options
    const { clock, storage, runId: run } = outside
    this.#started = clock.now()
    const { every: everyMs, takeover_after: takeoverAfterMs } = job.settings.heartbeat
    const location = `${stateFolder(job)}/heartbeat.json`
    this.#heartbeat = new Heartbeat({ storage, location, run, clock, everyMs, takeoverAfterMs })
  }

  async run(): Promise<StreamReport> {
    try {
      for (;;) {
        const ended = await this.#own()
        if (ended) return this.#report(ended)
      }
    } catch (error) {
      throw this.#explained(error)
    } finally {
      this.#state = 'ended'
      await this.#session?.drop()
      await this.#client?.close()
    }
  }

  /** A session, and what comes after it. @returns how the run ended; undefined where it goes on with another one */
  async #own(): Promise<StreamStatus | undefined> {
    const { ended, because } = await this.#live()
    if (ended) return ended
    return this.#after(because)
  }

  /** A session from its beginning to its end: nothing of it is held any more. */
  async #live(): Promise<{ readonly ended?: StreamStatus; readonly because?: unknown }> {
    const life = new AbortController()
    let session: Session | undefined
    let beside: Promise<unknown> | undefined
    let ended: StreamStatus | undefined
    try {
      const shared = await this.#share()
      const signal = AbortSignal.any([shared.signal, life.signal])
      session = await Session.begin(this.#job, this.#outside, this.#options, { ...shared, signal }, this.#owned)
      const { epoch } = session
      this.#session = session
      this.#owned = epoch
      this.#settled = true
      this.#state = 'owner'
      this.#patience = OUTAGE_MS
      if (!this.#stuck) this.#failingSince = undefined
      this.#tell({ event: 'owner', epoch, shards: session.shards().reading + session.shards().waiting })
      beside = Promise.all([
        this.#beat(session, life),
        keepUp(this.#job, this.#outside, life.signal, (event) => this.#tell(event)),
      ]).catch((error: unknown) => life.abort(error))
      const most = this.#options.maxRecords ?? Number.POSITIVE_INFINITY
      ended = await session.run((more) => most - this.#counts.records - more)
      return { ended }
    } catch (error) {
      this.#stuck ||= session?.holds ?? false
      // The sign of another owner ended it, or a bug in what goes on beside it.
      return { because: life.signal.aborted && !isPseudolakeError(error) ? life.signal.reason : error }
    } finally {
      life.abort()
      await beside
      if (session) {
        this.#throttled += session.consumer.stats().throttled
        await session.drop()
        this.#shared?.sealing?.drop()
        if (ended) await this.#heartbeat.beat(session.epoch, { ended: true })
      }
    }
  }

  /** What the sessions of a run have in common: made once, with the first. */
  async #share(): Promise<SessionShared> {
    if (this.#shared) return this.#shared
    const { connect, storage, random, clock, sealer, runId: run } = this.#outside
    const { table, dedupe, quarantine, name } = this.#job
    this.#client ??= await connect()
    await sealer?.ready?.()
    const work = new AbortController()
    this.#shared = {
      client: this.#client,
      replacers: replacersFor(table, this.#client.client, { share: 1, alone: true }, work.signal),
      gate: gateWith(table, { storage, signal: work.signal, seed: random() * 2 ** 32 }),
      timings: new Timings(clock),
      sealing:
        sealer && quarantine
          ? new Sealing({ ...quarantine, sealer, storage, job: name, run, wall: () => clock.wall() })
          : undefined,
      dedupe:
        dedupe &&
        new Dedupe({
          ...dedupe,
          memoryBytes: table.settings.limits.memory_mb * 2 ** 20 * DEDUPE_SHARE,
          storage,
          folder: `${stateFolder(this.#job)}/keys`,
          run,
        }),
      caution: new Caution(),
      signal: work.signal,
      onCommit: (event, counts) => {
        add(this.#counts, counts)
        this.#failures = 0
        this.#failingSince = undefined
        this.#stuck = false
        this.#lastCommit = clock.now()
        this.#tell(event)
      },
      onNote: (message) => this.#note(message),
      onIgnoredField: (field) => {
        if (this.#ignored.size < MOST_FIELDS) this.#ignored.add(field)
      },
    }
    return this.#shared
  }

  /** Gives signs of life, and looks for those of another owner. */
  async #beat(session: Session, life: AbortController): Promise<void> {
    const { clock, signal } = this.#outside
    const { every } = this.#job.settings.heartbeat
    while (!life.signal.aborted) {
      const other = await this.#heartbeat.beat(session.epoch)
      // Advice: only the table says who owns it, and a draining run may still be first with its commit.
      if (other && !signal.aborted) {
        if (!(await this.#isOwner())) {
          life.abort(overtaken(this.#job.name, other.epoch))
          return
        }
        await this.#heartbeat.beat(session.epoch, { sure: true })
      }
      this.#watchLag()
      await clock.sleep(every, life.signal).catch(() => undefined)
    }
  }

  /** By the table; one that can't be read says nothing, and the next commit will tell. */
  async #isOwner(): Promise<boolean> {
    const { database, table: name } = this.#job.table
    try {
      const { metadata } = await this.#outside.catalog.load({ database, name })
      return readStreamMark(metadata.properties, this.#job.name)?.run === this.#outside.runId
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      return true
    }
  }

  /** Of the session, or of the last one while a run waits for the next: what it has not read grows older. */
  #lag(): ReadonlyMap<string, number> {
    const answerable = this.#state === 'owner' || this.#state === 'retrying'
    return (answerable ? this.#session?.consumer.lag() : undefined) ?? new Map()
  }

  #watchLag(): void {
    const { iterator_age: most } = this.#job.settings.alarms
    const [shard, lag] = furthest(this.#lag())
    if (lag >= most && !this.#alarmed) this.#tell({ event: 'alarm', lag_ms: lag, shard })
    this.#alarmed = lag >= most
  }

  /** Whether and how a run goes on after a session that failed. */
  async #after(error: unknown): Promise<StreamStatus | undefined> {
    const { clock, signal } = this.#outside
    if (isPseudolakeError(error, 'table/mark-changed')) {
      // The owner committed between the reading of the table and its taking over: it is read again.
      if (!this.#settled && !signal.aborted && ++this.#beaten <= MOST_BEATEN) return undefined
      if (this.#options.untilCaughtUp) throw error
      return await this.#standBy(Number(error.context.epoch ?? 0))
    }
    // Told to stop before it was the owner: there was nothing to commit.
    if (signal.aborted && !isPseudolakeError(error)) return 'interrupted'
    // Before it was the owner nothing but constants was asked for.
    if (this.#state === 'owner' && isValueFault(error) && this.#shared?.caution.raise()) {
      this.#state = 'retrying'
      this.#note('the service refuses a value: for a while values are asked for before their records become rows')
      if (signal.aborted) return 'interrupted'
      this.#tell({ event: 'retry', code: error.code, wait_ms: 0 })
      return undefined
    }
    this.#failingSince ??= clock.now()
    if (!isPassing(error) || signal.aborted || clock.now() - this.#failingSince > this.#patience) throw error
    const wait = Math.min(RETRY.mostMs, RETRY.firstMs * 2 ** this.#failures++) * (0.5 + this.#outside.random() / 2)
    this.#state = 'retrying'
    this.#tell({ event: 'retry', code: error.code, wait_ms: Math.round(wait) })
    this.#watchLag()
    await clock.sleep(wait, signal).catch(() => undefined)
    return undefined
  }

  /** Until the owner gives no sign of life any more. @returns how the run ended, where it was told to */
  async #standBy(epoch: number): Promise<StreamStatus | undefined> {
    const { clock, signal } = this.#outside
    this.#state = 'standby'
    this.#settled = true
    this.#owned = undefined
    this.#stuck = false
    this.#tell({ event: 'standby', epoch })
    this.#heartbeat.watch()
    while (!signal.aborted && !(await this.#heartbeat.isStale()))
      await clock.sleep(this.#job.settings.heartbeat.every, signal).catch(() => undefined)
    return signal.aborted ? 'interrupted' : undefined
  }

  #tell(event: StreamEvent): void {
    this.#outside.onEvent?.(event)
  }

  #note(message: string): void {
    if (this.#notes.has(message)) return
    this.#notes.add(message)
    this.#tell({ event: 'note', message })
  }

  #explained(error: unknown): unknown {
    const outcome = { outcome: this.#counts.commits > 0 ? 'partly-published' : 'nothing-published' }
    if (!isPseudolakeError(error)) return error
    const hint = isPseudolakeError(error, 'kinesis/trimmed', 'kinesis/stream-changed')
      ? { hint: `Find out what is missing, then say where to go on: ${this.#outside.resetCommand}` }
      : {}
    return new PseudolakeError(
      error.code,
      error.message,
      { ...error.context, ...hint, ...outcome },
      { cause: error.cause },
    )
  }

  /** For a status line and for metrics. */
  gauges(): StreamGauges {
    const { clock } = this.#outside
    const owned = this.#state === 'owner' ? this.#session : undefined
    const stats = owned?.consumer.stats()
    const client = this.#client?.stats()
    return {
      state: this.#state,
      waits: this.#state === 'retrying' || (this.#state === 'owner' && this.#stuck),
      epoch: this.#session?.epoch ?? 0,
      records: this.#counts.records + (owned?.pending.records ?? 0),
      rows: this.#counts.rows,
      quarantined: this.#counts.quarantined,
      duplicates: this.#counts.duplicates,
      commits: this.#counts.commits,
      pendingRecords: owned?.pending.records ?? 0,
      lag: this.#lag(),
      shards: stats?.shards ?? NO_SHARDS,
      throttled: this.#throttled + (stats?.throttled ?? 0),
      failed: stats?.failed ?? 0,
      requests: client?.requests ?? 0,
      retries: client?.retries ?? 0,
      sinceCommitMs: this.#lastCommit === undefined ? undefined : clock.now() - this.#lastCommit,
    }
  }

  #report(status: StreamStatus): StreamReport {
    const { clock, runId, usage } = this.#outside
    const session = this.#session
    const { cpuSeconds, peakRssBytes } = usage()
    const { requests = 0, identifiers = 0, retries = 0 } = this.#client?.stats() ?? {}
    const metadata = session?.target.metadata
    const { forgotten = 0 } = this.#shared?.dedupe ?? {}
    const notes = [...this.#notes]
    if (this.#ignored.size > 0)
      notes.push(
        `${this.#ignored.size === MOST_FIELDS ? 'at least ' : ''}${this.#ignored.size} fields of records are not in the schema, and were ignored`,
      )
    if (forgotten > 0)
      notes.push(`${forgotten} keys were forgotten before their time, as limits.memory_mb has no room for more`)
    return {
      job: this.#job.name,
      run_id: runId,
      status,
      records: this.#counts.records,
      rows: this.#counts.rows,
      quarantined: this.#counts.quarantined,
      duplicates: this.#counts.duplicates,
      ignored_fields: this.#ignored.size,
      commits: this.#counts.commits,
      shards: session?.mark.positions.shards.size ?? 0,
      shard_states: session?.consumer.stats().shards ?? NO_SHARDS,
      lag_ms: session ? furthest(session.consumer.lag())[1] : 0,
      positions: session ? shownPositions(session.mark.positions) : {},
      service: { requests, identifiers, retries },
      throttled: this.#throttled,
      seconds: (clock.now() - this.#started) / 1000,
      cpu_seconds: cpuSeconds,
      peak_rss_bytes: peakRssBytes,
      table: calledOf(this.#job.table),
      location: session?.target.location ?? calledOf(this.#job.table),
      snapshot_id: metadata?.['current-snapshot-id']?.toString() ?? null,
      notes,
    }
  }
}

/** Of what lies beside the table: signs of life, and keys that were seen. */
export function stateFolder({ table, name }: StreamJob): string {
  return `${table.state}/streams/${table.database}.${table.table}/${name}`
}

function furthest(lag: ReadonlyMap<string, number>): [string, number] {
  let most: [string, number] = ['', 0]
  for (const [shard, ms] of lag) if (ms > most[1]) most = [shard, ms]
  return most
}

/** What a run may wait for. The answer of a commit was lost: the table's mark tells, when it can be read. */
function isPassing(error: unknown): error is PseudolakeError {
  if (!(error instanceof PseudolakeError)) return false
  return error.retryable || error.code === 'table/commit-unknown' || error.code === 'table/changed'
}

function overtaken(job: string, epoch: number): PseudolakeError {
  return new PseudolakeError('table/mark-changed', `stream job ${job} is at epoch ${epoch}: another consumer owns it`, {
    job,
    epoch,
  })
}
