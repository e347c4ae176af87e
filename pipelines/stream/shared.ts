/** What the sessions of a run have in common. */
import type { Client } from '../../lib/client/compose.ts'
import type { Gate } from '../batch/gate/gate.ts'
import { gateWith } from '../batch/gate/open.ts'
import { type Replacers, replacersFor } from '../batch/replacer.ts'
import { Timings } from '../batch/timings.ts'
import { Dedupe } from './dedupe.ts'
import type { StreamJob } from './job.ts'
import type { StreamOutside } from './outside.ts'
import { Sealing } from './quarantine/sealing.ts'
import { Caution } from './refused.ts'
import type { CommitEvent } from './report.ts'
import type { Counts } from './totals.ts'

/** Of the memory that a run may use, what keys may take that were seen. */
const DEDUPE_SHARE = 1 / 8

/** What a session tells the run. */
export interface SessionListener {
  readonly onCommit: (event: CommitEvent, counts: Counts) => void
  readonly onNote: (message: string) => void
  readonly onIgnoredField: (name: string) => void
}

export interface SessionShared extends SessionListener {
  readonly client: Client
  readonly replacers: Replacers
  readonly gate: Gate
  readonly timings: Timings
  readonly sealing: Sealing | undefined
  readonly dedupe: Dedupe | undefined
  readonly caution: Caution
  /** Not aborted by the wish to stop: what was read is to be committed. */
  readonly signal: AbortSignal
}

/** Made once for a run, with its first session. */
export function sharedOf(
  job: StreamJob,
  outside: StreamOutside,
  client: Client,
  listener: SessionListener,
): SessionShared {
  const { storage, random, clock, sealer, runId: run } = outside
  const { table, dedupe, quarantine, name } = job
  const { signal } = new AbortController()
  return {
    client,
    replacers: replacersFor(table, client.client, { share: 1, alone: true }, signal),
    gate: gateWith(table, { storage, signal, seed: random() * 2 ** 32 }),
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
        folder: `${stateFolder(job)}/keys`,
        run,
      }),
    caution: new Caution(),
    signal,
    ...listener,
  }
}

/** Of what lies beside the table: signs of life, and keys that were seen. */
export function stateFolder({ table, name }: StreamJob): string {
  return `${table.state}/streams/${table.database}.${table.table}/${name}`
}
