/** What sessions of one run have in common. */
import type { Client } from '../../lib/client/compose.ts'
import type { Gate } from '../batch/gate/gate.ts'
import type { Replacers } from '../batch/replacer.ts'
import type { Timings } from '../batch/timings.ts'
import type { Dedupe } from './dedupe.ts'
import type { Sealing } from './quarantine/sealing.ts'
import type { Caution } from './refused.ts'
import type { CommitEvent } from './report.ts'
import type { Counts } from './totals.ts'

export interface SessionShared {
  readonly client: Client
  readonly replacers: Replacers
  readonly gate: Gate
  readonly timings: Timings
  readonly sealing: Sealing | undefined
  readonly dedupe: Dedupe | undefined
  readonly caution: Caution
  /** Not aborted by the wish to stop: what was read is to be committed. */
  readonly signal: AbortSignal
  readonly onCommit: (event: CommitEvent, counts: Counts) => void
  readonly onNote: (message: string) => void
  readonly onIgnoredField: (name: string) => void
}
