/**
 * Commits of a stream job: data files and mark in one change of the table, which goes through only on the mark that it was planned from.
 */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { MAX_SNAPSHOTS } from '../../lib/iceberg/catalogs/metadata-files.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { Pinned } from '../batch/identities.ts'
import type { Target } from '../batch/target.ts'
import type { FinishedFile } from '../batch/unpublished.ts'
import { STREAM_SUMMARY } from '../marks.ts'
import type { Approved } from '../pins.ts'
import type { StreamJob } from './job.ts'
import {
  makeStreamMark,
  markText,
  requireStreamMark,
  type StreamMark,
  type StreamState,
  streamProperty,
} from './mark.ts'
import type { StreamOutside } from './outside.ts'

/** A table made for a stream keeps so many snapshots: each commit writes all of them. */
const STREAM_SNAPSHOTS = '200'

/** What a commit puts into the table beside the mark. */
export interface Content {
  readonly schema: Schema
  readonly approved: Approved | undefined
  readonly pinned: readonly Pinned[]
  readonly files: readonly FinishedFile[]
}

export class Publisher {
  /** A commit of which it is not known that it did not happen: its files must stay. */
  mayStand = false
  readonly #target: Target
  readonly #job: StreamJob
  readonly #outside: StreamOutside

  constructor(target: Target, job: StreamJob, outside: StreamOutside) {
    this.#target = target
    this.#job = job
    this.#outside = outside
  }

  /**
   * @param planned the mark that the commit follows; undefined for the first one of the table
   * @returns the mark that the table has now
   * @throws PseudolakeError `table/mark-changed` where it has another one; `table/*`
   */
  async publish(planned: StreamMark | undefined, state: StreamState, content: Content): Promise<StreamMark> {
    const { runId } = this.#outside
    const { name } = this.#job
    const { schema, approved, pinned, files } = content
    const mark = makeStreamMark((planned?.epoch ?? 0) + 1, runId, state)
    const all = this.#target.propertiesFor(approved, pinned)
    const own = this.#target.metadata ? onlyOurs(all) : { [MAX_SNAPSHOTS]: STREAM_SNAPSHOTS, ...all }
    const modes = metricsModes(schema, { ...this.#target.properties, ...own })
    this.mayStand = true
    await this.#target
      .publish({
        runId,
        schema,
        files: files.map(({ file }) => dataFileFrom(file, schema, modes)),
        removed: [],
        properties: { ...own, [streamProperty(name)]: markText(mark) },
        mark,
        summary: { [STREAM_SUMMARY]: name },
        check: (metadata) => this.#requireMark(metadata, planned),
      })
      .catch((error: unknown) => {
        this.mayStand = !isPseudolakeError(error) || isPseudolakeError(error, 'table/commit-unknown', 'internal/bug')
        throw error
      })
    this.mayStand = false
    return mark
  }

  #requireMark(metadata: TableMetadata | undefined, planned: StreamMark | undefined): void {
    const { name } = this.#job
    const found = metadata && requireStreamMark(metadata, name, this.#outside.resetCommand).mark
    if (found?.digest !== planned?.digest) throw markChanged(name, found, (planned?.epoch ?? 0) + 1)
  }
}

/** @param epoch that was to be committed */
export function markChanged(job: string, found: StreamMark | undefined, epoch: number): PseudolakeError {
  return new PseudolakeError(
    'table/mark-changed',
    `stream job ${job} is at epoch ${found?.epoch ?? 0}, and epoch ${epoch} was to be committed: another consumer owns it`,
    { job, epoch: found?.epoch ?? 0, run: found?.run ?? '' },
  )
}

/** Properties that a stream is answerable for: what others set meanwhile is their own. */
function onlyOurs(properties: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(properties).filter(([name]) =>
      /^(?:pseudolake\.column|write\.metadata\.metrics\.column\.)/.test(name),
    ),
  )
}
