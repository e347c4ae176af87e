import type { Clock } from '../../lib/core/clock.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { type Anchor, anchored, fileAnchors, storageAnchors } from './anchors.ts'
import type { Audit } from './audit.ts'
import { fileAudit } from './file.ts'
import { storageAudit } from './objects.ts'

export interface OpenAuditOptions {
  /** A folder, or an s3:// location under which objects are put. */
  readonly place: string
  /** A file, or an s3:// location under which objects are put. @default beside the record, see {@link anchorsOf} */
  readonly anchors?: string
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** For locations that are no paths. */
  readonly storage?: Storage
  /** @default 60_000 */
  readonly anchorEveryMs?: number
  readonly failed: (error: unknown) => void
  readonly anchored?: (anchor: Anchor) => void
}

/**
 * A record with its anchors, each in a folder or in a store.
 * @throws PseudolakeError `storage/*` where the first line or the first anchor can't be written
 */
export async function openAudit(options: OpenAuditOptions): Promise<Audit> {
  const { place, anchors = anchorsOf(place), clock, randomBytes, storage } = options
  const lines = { now: () => clock.wall(), randomBytes }
  const remote = (location: string) => storage !== undefined && isRemote(location)
  const audit = remote(place)
    ? await storageAudit(storage as Storage, prefixOf(place), lines)
    : await fileAudit(place, lines)
  const store = remote(anchors) ? storageAnchors(storage as Storage, prefixOf(anchors)) : fileAnchors(anchors)
  try {
    return await anchored(audit, store, {
      clock,
      failed: options.failed,
      ...(options.anchorEveryMs !== undefined && { everyMs: options.anchorEveryMs }),
      ...(options.anchored && { anchored: options.anchored }),
    })
  } catch (error) {
    await audit.close()
    throw error
  }
}

/** Where the anchors of a record are by default: out of its folder, yet no better guarded. */
export function anchorsOf(place: string): string {
  return `${place.replace(/\/+$/, '')}.anchors${isRemote(place) ? '/' : '.jsonl'}`
}

function isRemote(location: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\//i.test(location)
}

function prefixOf(location: string): string {
  return location.endsWith('/') ? location : `${location}/`
}
