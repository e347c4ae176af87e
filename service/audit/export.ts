import type { Storage } from '../../lib/storage/storage.ts'
import type { Direction } from '../../lib/wire/contract.ts'
import { auditFiles, linesOf } from './read.ts'

/** Which entries; all that are given must hold. */
export interface ExportFilter {
  /** Milliseconds since 1970, inclusive. */
  readonly since?: number
  /** Milliseconds since 1970, exclusive. */
  readonly until?: number
  readonly caller?: string
  readonly direction?: Direction
  readonly domain?: string
}

/** An entry as it stands in the record, and the chain it is of. */
export type Exported = Readonly<Record<string, unknown>> & { readonly chain: string | null }

/**
 * Entries of a record, file by file in the order of their start: within a chain in the order of their numbers. Lines that are no
 * entries are passed over; whether something was changed is for `checkAudit` to say.
 * @throws PseudolakeError `input/not-found`, `audit/unsupported`, `storage/*`
 */
export async function* exportAudit(storage: Storage, folder: string, filter: ExportFilter): AsyncIterable<Exported> {
  for (const { location, bytes, header } of await auditFiles(storage, folder)) {
    let first = true
    for await (const line of linesOf(storage, location, bytes)) {
      const entry = !first && line.ended ? entryOf(line.bytes) : undefined
      first = false
      if (entry && matches(entry, filter)) yield { chain: header?.chain ?? null, ...entry }
    }
  }
}

function matches(entry: Readonly<Record<string, unknown>>, filter: ExportFilter): boolean {
  const { since, until, caller, direction, domain } = filter
  const time = typeof entry.time === 'string' ? Date.parse(entry.time) : Number.NaN
  return (
    (since === undefined || time >= since) &&
    (until === undefined || time < until) &&
    (caller === undefined || entry.caller === caller) &&
    (direction === undefined || entry.direction === direction) &&
    (domain === undefined || entry.domain === domain)
  )
}

function entryOf(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
