import type { DataFile } from './data-file.ts'
import type { Snapshot } from './metadata.ts'

/** Snapshot ids and summaries (Iceberg specification, "Snapshots"; key names as in Iceberg's own `SnapshotSummary`). Pure. */

export type Operation = 'append' | 'replace' | 'overwrite' | 'delete'

/** A random positive int64 that the table does not use. @param uuid a random UUID: its two halves are folded, as Iceberg's library does */
export function newSnapshotId(uuid: () => string, isUsed: (id: bigint) => boolean): bigint {
  for (;;) {
    const bits = BigInt(`0x${uuid().replaceAll('-', '')}`)
    const id = BigInt.asUintN(63, (bits >> 64n) ^ bits)
    if (id !== 0n && !isUsed(id)) return id
  }
}

export interface Change {
  readonly operation: Operation
  readonly added: readonly DataFile[]
  readonly removed: readonly DataFile[]
}

const TOTALS = [
  ['total-data-files', 'added-data-files', 'deleted-data-files'],
  ['total-records', 'added-records', 'deleted-records'],
  ['total-files-size', 'added-files-size', 'removed-files-size'],
  ['total-delete-files', 'added-delete-files', 'removed-delete-files'],
  ['total-position-deletes', 'added-position-deletes', 'removed-position-deletes'],
  ['total-equality-deletes', 'added-equality-deletes', 'removed-equality-deletes'],
] as const

/**
 * What a snapshot says of itself. Counts of this change are written where they are not 0; totals go on from the branch's previous head,
 * and one that the previous head does not have stays unknown: starting again from 0 would be a lie.
 * @param custom further keys; they cannot replace a counted one
 */
export function summaryOf(
  change: Change,
  previous: Snapshot | undefined,
  custom: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const counts = new Map<string, bigint>()
  tally(counts, change.added, 'added')
  tally(counts, change.removed, 'removed')
  const summary: Record<string, string> = { operation: change.operation, ...custom }
  summary.operation = change.operation
  for (const [key, count] of counts) if (count > 0n) summary[key] = count.toString()
  if (change.added.length + change.removed.length > 0) summary['changed-partition-count'] = '1'

  for (const [total, plus, minus] of TOTALS) {
    const before = previous === undefined ? '0' : previous.summary[total]
    delete summary[total]
    if (before === undefined || !/^\d+$/.test(before)) continue
    const after = BigInt(before) + (counts.get(plus) ?? 0n) - (counts.get(minus) ?? 0n)
    if (after >= 0n) summary[total] = after.toString()
  }
  return summary
}

/** Iceberg says `deleted-` of data files and rows, `removed-` of everything else. */
function tally(counts: Map<string, bigint>, files: readonly DataFile[], which: 'added' | 'removed'): void {
  const gone = which === 'added' ? 'added' : 'deleted'
  const add = (key: string, count: number) => counts.set(key, (counts.get(key) ?? 0n) + BigInt(count))
  for (const file of files) {
    add(`${which}-files-size`, file.bytes)
    if (file.content === 'data') {
      add(`${gone}-data-files`, 1)
      add(`${gone}-records`, file.rows)
    } else {
      add(`${which}-delete-files`, 1)
      add(`${which}-${file.content}`, file.rows)
    }
  }
}
