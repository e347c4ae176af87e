/** Records at which a run ends, once what comes before them is committed. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { shownName } from './names.ts'
import type { BadRecord } from './values.ts'

export class StopHere extends Error {
  readonly because: PseudolakeError

  constructor(because: PseudolakeError) {
    super(because.message)
    this.because = because
  }
}

/** With `new_fields: fail`. */
export function unknownField(record: StreamRecord, field: string): PseudolakeError {
  return new PseudolakeError(
    'table/schema-changed',
    `${placeOf(record)} has a field ${shownName(field)}that is not in the schema, and new_fields is fail`,
    {
      shard: record.shard,
      sequence: record.sequence,
      hint: 'Set new_fields to add (copied, as a new column) or to ignore, or write to a new table.',
    },
  )
}

/** Where nothing is quarantined. */
export function badRecord(record: StreamRecord, { reason, field }: BadRecord): PseudolakeError {
  const { shard, sequence, sub } = record
  const name = shownName(field ?? '').trimEnd()
  const where = name === '' ? '' : `, field ${name}`
  return new PseudolakeError(
    'stream/bad-record',
    `${placeOf(record)} ${record.data.length} bytes, ${reason}${where}; what comes before it is committed, nothing after it`,
    { shard, sequence, sub, reason, length: record.data.length },
  )
}

/** Where no more may be quarantined. */
export function tooMany({ shard, sequence }: StreamRecord, { reason }: BadRecord): PseudolakeError {
  return new PseudolakeError(
    'stream/too-many-bad',
    `quarantine.max_records are sealed already, and there is one more in ${shard}: ${reason}`,
    { shard, sequence, reason },
  )
}

function placeOf({ shard, sequence, sub }: StreamRecord): string {
  return `${shard}, record ${sequence}${sub === 0 ? '' : `.${sub}`}:`
}
