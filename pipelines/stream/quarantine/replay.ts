/** Sealed records into the table after all: by who has the key, once the schema or the service takes them. */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { TableMetadata } from '../../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../../lib/iceberg/metrics.ts'
import type { StreamRecord } from '../../../lib/kinesis/records.ts'
import { targetFileBytes } from '../../batch/csv/target-size.ts'
import { gateWith } from '../../batch/gate/open.ts'
import { identify } from '../../batch/identities.ts'
import type { ColumnRule } from '../../batch/job.ts'
import { replacersFor } from '../../batch/replacer.ts'
import { approvedOf, requireApproved } from '../../batch/shape.ts'
import { Timings } from '../../batch/timings.ts'
import type { Approved } from '../../pins.ts'
import { COLUMNS_HINT, columnsOf, knownFields } from '../fields.ts'
import type { StreamJob } from '../job.ts'
import { requireStreamMark } from '../mark.ts'
import type { StreamPlaces } from '../open.ts'
import { type RefusedTexts, refusedTexts } from '../refused.ts'
import { BadRecord } from '../values.ts'
import { RowsWriter } from '../writer.ts'
import { openObject, openQuarantine, type QuarantinedObject, selected } from './contents.ts'
import { readReplayed, readReplayMark, replayProperty, writeReplayed } from './replayed.ts'
import type { Opener } from './sealed.ts'

export interface ReplayOutside {
  readonly opener: Opener
  readonly runId: string
  readonly createdBy: string
  readonly command: string
  readonly resetCommand: string
}

/** Keys as `--json` prints them. */
export interface ReplayReport {
  readonly job: string
  readonly status: 'done' | 'nothing-to-do' | 'needs-a-look'
  readonly objects: number
  readonly rows: number
  /** Objects of which a record is still bad: they stay as they are, and nothing of them is in the table. */
  readonly still_bad: readonly { readonly name: string; readonly reasons: Readonly<Record<string, number>> }[]
  readonly snapshot_id: string | null
}

/**
 * Publishes the rows of sealed objects in one commit, together with the note that they are in the table.
 * @param names of objects; none for all that lie sealed
 * @throws PseudolakeError `table/mark-changed` where another replay was first; `quarantine/unreadable`, `table/*`, `service/*`
 */
export async function replay(
  job: StreamJob,
  names: readonly string[],
  places: StreamPlaces,
  { opener, runId, createdBy, command, resetCommand }: ReplayOutside,
): Promise<ReplayReport> {
  const { storage, signal, clock, random } = places
  const { target, objects } = await openQuarantine(job, places)
  const sealed = selected(objects, names).filter(({ status }) => status === 'sealed')
  const mark = requireStreamMark(target.metadata as TableMetadata, job.name, resetCommand).mark
  const fields = knownFields(job.schema, mark?.fields)
  const client = await places.connect()
  try {
    const { rules, nulls } = withoutLeftOut(job.table.columns, target.approved)
    const asked = { ...job, table: { ...job.table, columns: rules } }
    let refused: RefusedTexts = new Map()
    const refuses = (path: string, text: string) => refused.get(path)?.has(text) === true
    const open = () => columnsOf(asked, fields ?? [], { nulls, refuses })
    const columns = open()
    requireApproved(target.approved ?? {}, approvedOf(columns.shape), 'fail', () => COLUMNS_HINT)
    const pinned = await identify(columns.shape.replaced, target.properties, client.client, {
      allowKeyChange: false,
      command,
      signal,
    })
    const schema = target.schemaFor(columns.shape.schema)
    const writer = new RowsWriter({
      ...{ columns, schema, pinned, storage, signal, createdBy },
      replacers: replacersFor(job.table, client.client, { share: 1, alone: true }, signal),
      gate: gateWith(job.table, { storage, signal, seed: random() * 2 ** 32 }),
      timings: new Timings(clock),
      targetBytes: targetFileBytes(target.properties),
      output: `${target.making.folder}/${runId}-replay`,
    })
    const stillBad: { name: string; reasons: Record<string, number> }[] = []
    const good: QuarantinedObject[] = []
    for (const object of sealed) {
      const records = (await openObject(storage, object, opener)).map(({ record }) => record)
      refused = new Map()
      refused = await refusedTexts(records, open(), {
        ...{ client: client.client, pinned, most: job.settings.limits.max_identifiers, signal },
      })
      const reasons = whatIsWrong(records, open)
      if (Object.keys(reasons).length > 0) {
        stillBad.push({ name: object.name, reasons })
        continue
      }
      for (const record of records) {
        columns.decoder.add(record)
        await writer.advance()
      }
      good.push(object)
    }
    const report = (status: ReplayReport['status'], rows: number): ReplayReport => ({
      job: job.name,
      status: stillBad.length > 0 ? 'needs-a-look' : status,
      objects: good.length,
      rows,
      still_bad: stillBad,
      snapshot_id: target.metadata?.['current-snapshot-id']?.toString() ?? null,
    })
    if (good.length === 0) return report('nothing-to-do', 0)
    const files = await writer.finish(client.client)
    const modes = metricsModes(schema, target.properties)
    const before = readReplayMark(target.properties, job.name)
    const done = new Set([
      ...(await readReplayed(storage, target.properties, job.name)),
      ...good.map(({ sha256 }) => sha256),
    ])
    const { path } = job.quarantine as NonNullable<StreamJob['quarantine']>
    const next = await writeReplayed(storage, `${path}/${job.name}/replayed/${runId}.json`, done, before, runId)
    const property = replayProperty(job.name)
    const planned = target.properties[property]
    await target.publish({
      runId,
      schema,
      files: files.map(({ file }) => dataFileFrom(file, schema, modes)),
      removed: [],
      properties: { [property]: JSON.stringify(next) },
      mark: next,
      // Not the job's: a consumer looks for its own snapshots by that name.
      summary: { 'pseudolake.job': `replay.${job.name}` },
      check(metadata) {
        if (metadata?.properties[property] === planned) return
        throw new PseudolakeError('table/mark-changed', `another replay of job ${job.name} has committed meanwhile`, {
          job: job.name,
        })
      },
    })
    return report('done', writer.rows)
  } finally {
    await client.close()
  }
}

/**
 * A column that the table has as it came may be left out (mode: drop), so that records of which it alone is bad come into the table, with null
 * there; what becomes of any other is what the table was approved for.
 */
function withoutLeftOut(given: readonly ColumnRule[], approved: Approved | undefined) {
  const leftOut = ({ name, mode, path }: ColumnRule) =>
    mode === 'drop' && path.length === 1 && approved?.[name]?.fate.startsWith('copied') === true
  return {
    rules: given.filter((rule) => !leftOut(rule)),
    nulls: new Set(given.filter(leftOut).map(({ path }) => path[0] as string)),
  }
}

/** How many records have what. @param columns of their own: what is tried here is no row */
function whatIsWrong(
  records: readonly StreamRecord[],
  columns: () => ReturnType<typeof columnsOf>,
): Record<string, number> {
  const { decoder } = columns()
  const reasons: Record<string, number> = {}
  for (const record of records)
    try {
      decoder.add(record)
      decoder.take()
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      reasons[error.reason] = (reasons[error.reason] ?? 0) + 1
    }
  return reasons
}
