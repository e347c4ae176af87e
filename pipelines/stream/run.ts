/**
 * A stream's run: sessions one after the other, each the owner of the stream from a commit of its own on; standby while another one is; and
 * waiting where a service or a storage is away. docs/stream.md has the promises.
 */
import type { Client } from '../../lib/client/compose.ts'
import { isValueFault } from '../../lib/client/faults.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { explained, streamReport } from './ending.ts'
import { Heartbeat } from './heartbeat.ts'
import type { StreamJob } from './job.ts'
import { readStreamMark } from './mark.ts'
import { Notes } from './notes.ts'
import { Outage } from './outage.ts'
import type { StreamOptions, StreamOutside } from './outside.ts'
import type { StreamEvent, StreamGauges, StreamReport, StreamStatus } from './report.ts'
import { Session } from './session.ts'
import { type SessionShared, sharedOf, stateFolder } from './shared.ts'
import { add, type Counts, furthest, NO_SHARDS, noCounts } from './totals.ts'
import { keepUp } from './upkeep.ts'

/** How often one that starts may find that the owner committed first, before it stands by: others may be starting too. */
const MOST_BEATEN = 10

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
  readonly #notes = new Notes((event) => this.#tell(event))
  readonly #outage = new Outage()
  readonly #started: number
  readonly #heartbeat: Heartbeat
  #state: StreamGauges['state'] = 'starting'
  #session: Session | undefined
  #client: Client | undefined
  #shared: SessionShared | undefined
  #throttled = 0
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
      throw explained(error, this.#counts, this.#outside.resetCommand)
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
      this.#outage.owned()
      this.#tell({ event: 'owner', epoch, shards: session.shards().reading + session.shards().waiting })
      beside = Promise.all([
        this.#beat(session, life),
        keepUp(this.#job, this.#outside, life.signal, (event) => this.#tell(event)),
      ]).catch((error: unknown) => life.abort(error))
      const most = this.#options.maxRecords ?? Number.POSITIVE_INFINITY
      ended = await session.run((more) => most - this.#counts.records - more)
      return { ended }
    } catch (error) {
      this.#outage.stuck ||= session?.holds ?? false
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
    this.#client ??= await this.#outside.connect()
    await this.#outside.sealer?.ready?.()
    this.#shared = sharedOf(this.#job, this.#outside, this.#client, {
      onCommit: (event, counts) => {
        add(this.#counts, counts)
        this.#outage.committed()
        this.#lastCommit = this.#outside.clock.now()
        this.#tell(event)
      },
      onNote: (message) => this.#notes.note(message),
      onIgnoredField: (field) => this.#notes.ignored(field),
    })
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
      this.#notes.note('the service refuses a value: for a while values are asked for before their records become rows')
      if (signal.aborted) return 'interrupted'
      this.#tell({ event: 'retry', code: error.code, wait_ms: 0 })
      return undefined
    }
    if (!this.#outage.bears(error, clock.now()) || signal.aborted) throw error
    const wait = this.#outage.wait(this.#outside.random())
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
    this.#outage.stuck = false
    this.#tell({ event: 'standby', epoch })
    this.#heartbeat.watch()
    while (!signal.aborted && !(await this.#heartbeat.isStale()))
      await clock.sleep(this.#job.settings.heartbeat.every, signal).catch(() => undefined)
    return signal.aborted ? 'interrupted' : undefined
  }

  #tell(event: StreamEvent): void {
    this.#outside.onEvent?.(event)
  }

  /** For a status line and for metrics. */
  gauges(): StreamGauges {
    const { clock } = this.#outside
    const owned = this.#state === 'owner' ? this.#session : undefined
    const stats = owned?.consumer.stats()
    const client = this.#client?.stats()
    return {
      state: this.#state,
      waits: this.#state === 'retrying' || (this.#state === 'owner' && this.#outage.stuck),
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
    return streamReport({
      job: this.#job,
      outside: this.#outside,
      status,
      counts: this.#counts,
      notes: this.#notes,
      session: this.#session,
      client: this.#client,
      throttled: this.#throttled,
      forgotten: this.#shared?.dedupe?.forgotten ?? 0,
      startedMs: this.#started,
    })
  }
}

function overtaken(job: string, epoch: number): PseudolakeError {
  return new PseudolakeError('table/mark-changed', `stream job ${job} is at epoch ${epoch}: another consumer owns it`, {
    job,
    epoch,
  })
}
