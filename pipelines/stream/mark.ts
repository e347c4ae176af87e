/**
 * What a table remembers of a stream: one property, changed in the same metadata swap as the rows.
 *
 * It holds the whole map of positions, once: 500 shards are some 60 KB, and in the summary of every snapshot they would be gigabytes. A snapshot's
 * summary has epoch and digest, by which a table that was rolled back is told (marks.ts). Each commit goes through only on the mark it was
 * planned from, so that a second consumer, or one that slept, can double nothing.
 */
import { createHash } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { type Positions, parsePositions, positionsText } from '../../lib/kinesis/positions.ts'
import { checkAncestry, type MarkHead, STREAM_SUMMARY } from '../marks.ts'
import { type RecordField, readFields, storedFields } from './schema.ts'

const VERSION = 1

/** A file beside the table that the mark speaks of. */
export interface StateRef {
  readonly location: string
  /** SHA-256 of the file, hex. */
  readonly sha256: string
}

export interface StreamState {
  readonly positions: Positions
  /** Of a record, as they were declared or seen; undefined until then. */
  readonly fields: readonly RecordField[] | undefined
  /** The newest list of sealed records (quarantine/list.ts), and how many there are in all. */
  readonly quarantine: (StateRef & { readonly records: number }) | undefined
  /** Keys that were seen lately (dedupe.ts), the oldest first. */
  readonly dedupe: readonly StateRef[]
}

export interface StreamMark extends MarkHead, StreamState {}

export function streamProperty(job: string): string {
  return `pseudolake.stream.${job}`
}

export function makeStreamMark(epoch: number, run: string, state: StreamState): StreamMark {
  const digest = createHash('sha256')
    .update(`${epoch}\0${run}\0${stateText(state)}`)
    .digest('hex')
    .slice(0, 32)
  return { epoch, run, digest, ...state }
}

/** The property's value. */
export function markText({ epoch, run, digest, ...state }: StreamMark): string {
  const head = JSON.stringify({ version: VERSION, epoch, run, digest })
  return `${head.slice(0, -1)},${stateText(state).slice(1)}`
}

/** Equal states have equal texts. */
function stateText({ positions, fields, quarantine, dedupe }: StreamState): string {
  const rest = JSON.stringify({
    ...(fields && { fields: storedFields(fields) }),
    ...(quarantine && { quarantine }),
    ...(dedupe.length > 0 && { dedupe }),
  })
  return `{"positions":${positionsText(positions)}${rest === '{}' ? '}' : `,${rest.slice(1)}`}`
}

/** @throws PseudolakeError `table/mark-unreadable` for a mark of a newer version or another form: it is never taken for none */
export function readStreamMark(properties: Readonly<Record<string, string>>, job: string): StreamMark | undefined {
  const text = properties[streamProperty(job)]
  if (text === undefined) return undefined
  const stored = parsed(text)
  if (stored === undefined || stored.version !== VERSION || !Number.isSafeInteger(stored.epoch))
    throw new PseudolakeError(
      'table/mark-unreadable',
      `property ${streamProperty(job)} is not a mark that this version reads`,
      { property: streamProperty(job), expectedVersion: VERSION },
    )
  const { epoch, run, digest, positions, fields, quarantine, dedupe } = stored
  return {
    epoch: epoch as number,
    run: String(run),
    digest: String(digest),
    positions: parsePositions(JSON.stringify(positions)),
    fields: fields === undefined ? undefined : readFields(fields),
    quarantine: quarantine as StreamMark['quarantine'],
    dedupe: (dedupe ?? []) as readonly StateRef[],
  }
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/**
 * The mark of a table that a consumer may go on from.
 * @param command that sets the positions anew, for the error
 * @returns whether the walk to its snapshot ended early, as that is expired
 * @throws PseudolakeError `table/mark-unreadable` where the table was rolled back, or lost a mark that its snapshots speak of
 */
export function requireStreamMark(
  metadata: TableMetadata,
  job: string,
  command: string,
): { readonly mark: StreamMark | undefined; readonly expired: boolean } {
  const hint = `Find out what became of the table, then say where to go on: ${command}`
  try {
    const mark = readStreamMark(metadata.properties, job)
    const snapshots = metadata.snapshots.map((snapshot) => ({
      id: snapshot['snapshot-id'],
      parent: snapshot['parent-snapshot-id'],
      summary: snapshot.summary,
    }))
    if (mark) {
      const found = checkAncestry(mark, job, snapshots, metadata['current-snapshot-id'], 'stream')
      return { mark, expired: found === 'expired' }
    }
    if (snapshots.some(({ summary }) => summary[STREAM_SUMMARY] !== undefined && summary['pseudolake.job'] === job))
      throw new PseudolakeError(
        'table/mark-unreadable',
        `the table has snapshots of stream job ${job}, and no positions of it`,
      )
    return { mark: undefined, expired: false }
  } catch (error) {
    if (!(error instanceof PseudolakeError)) throw error
    throw new PseudolakeError(error.code, error.message, { ...error.context, job, hint }, { cause: error.cause })
  }
}
