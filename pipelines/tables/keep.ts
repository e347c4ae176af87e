/** Snapshots that an expiry must keep so that jobs still find what their marks are about. Pure. */
import type { Snapshot, TableMetadata } from '../../lib/iceberg/metadata.ts'
import { ancestry, planExpiry, type RetentionPolicy } from '../../lib/iceberg/operations/retention.ts'

const MARK = /^pseudolake\.(?:job|stream)\.(.+)$/

/**
 * A job walks from the table's head to the snapshot that set its mark. Where that one is gone the walk ends, and the mark alone counts. Where
 * it is there, held by a tag say, and a snapshot in between is not, it would look as if the table had been rolled back. So what lies
 * between stays as long as both ends do.
 */
export function keptForMarks(metadata: TableMetadata, policy: Omit<RetentionPolicy, 'keep'>): ReadonlySet<bigint> {
  const expired = new Set(planExpiry(metadata, policy).snapshots.map((snapshot) => snapshot['snapshot-id']))
  const kept = new Set<bigint>()
  for (const [name, value] of Object.entries(metadata.properties)) {
    const job = MARK.exec(name)?.[1]
    const digest = digestOf(value)
    if (job === undefined || digest === undefined) continue
    const setTheMark = ({ summary }: Snapshot) =>
      summary['pseudolake.job'] === job && summary['pseudolake.digest'] === digest
    const walked: bigint[] = []
    for (const snapshot of ancestry(metadata, metadata['current-snapshot-id'])) {
      walked.push(snapshot['snapshot-id'])
      if (!setTheMark(snapshot)) continue
      if (!expired.has(snapshot['snapshot-id'])) for (const id of walked) kept.add(id)
      break
    }
  }
  return kept
}

function digestOf(mark: string): string | undefined {
  try {
    const { digest } = JSON.parse(mark) as { digest?: unknown }
    return typeof digest === 'string' ? digest : undefined
  } catch {
    // Not one that a job could go by.
    return undefined
  }
}
