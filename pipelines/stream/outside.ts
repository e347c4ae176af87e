/** What a stream's run works with, and what its caller may ask of it. */
import type { Client } from '../../lib/client/compose.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import type { ConsumerOptions } from '../../lib/kinesis/options.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { TargetOutside } from '../batch/target.ts'
import type { Sealer } from './quarantine/sealed.ts'
import type { StreamEvent } from './report.ts'

export interface StreamOutside extends TargetOutside {
  /** Of the table, what lies beside it, and the quarantine. */
  readonly storage: Storage
  readonly kinesis: Kinesis
  /** As the API takes it. */
  readonly streamName: string
  /** Of the consumer, where they are to be others. @default those of lib/kinesis */
  readonly consumer?: Partial<Pick<ConsumerOptions, 'pace' | 'maxBytes' | 'resyncMs' | 'outageMs' | 'idleBatchMs'>>
  /** The client of the configured service. */
  readonly connect: () => Promise<Client>
  /** Seals bad records; undefined where the first of them ends the run. */
  readonly sealer: Sealer | undefined
  /** Names the run and its files: `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  /** For the footers of data files: `pseudolake version X (build Y)`. */
  readonly createdBy: string
  /** What the caller typed, for errors that print the command that resolves them. */
  readonly command: string
  /** The command that sets the positions anew. */
  readonly resetCommand: string
  readonly usage: () => { readonly cpuSeconds: number; readonly peakRssBytes: number }
  readonly onEvent?: (event: StreamEvent) => void
}

export interface StreamOptions {
  /** Ends when every shard had nothing more. @default false */
  readonly untilCaughtUp?: boolean
  /** Ends after so many records; those of an aggregate stay together. @default no end */
  readonly maxRecords?: number
  /** Goes on although the service makes other pseudonyms than the table's. @default false */
  readonly allowKeyChange?: boolean
}
