import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Audit } from './audit.ts'
import { chainWriter, PREFIX, SUFFIX, type TimedEntry } from './chain.ts'
import type { AuditOptions } from './file.ts'
import { queuedAudit } from './queue.ts'

/** Entries that are not durable yet; a storage that is away must not fill the memory. */
const MAX_HELD = 100_000

/**
 * A record in a store, for services without a disk of their own. What was taken is held until something must be durable (a way back, or
 * {@link Audit.seal}, which anchors call every minute), and is an object then: written once, never over another one, a file of the
 * chain like those of {@link fileAudit}. A process that is killed takes along what it held: entries of ways forward.
 * @param prefix location under which the objects are put, with a slash at its end
 * @throws PseudolakeError as the storage does, where the first object can't be written
 */
export async function storageAudit(
  storage: Storage,
  prefix: string,
  { now, randomBytes }: AuditOptions,
): Promise<Audit> {
  const id = Buffer.from(randomBytes(8)).toString('hex')
  const chain = chainWriter(id)
  let held: TimedEntry[] = []
  let attempt = 0

  async function put(): Promise<void> {
    const started = new Date(now()).toISOString()
    // A name of its own for each try: what came of one whose answer was lost is not known, and must not be in the way.
    const name = `${PREFIX}${started.replaceAll(/[-:.]/g, '')}-${id}-${String(++attempt).padStart(6, '0')}${SUFFIX}`
    const draft = chain.draft(held, started)
    await storage.create(prefix + name, Buffer.from(draft.text))
    draft.keep()
    held = []
  }
  await put()
  return queuedAudit({
    async write(entries) {
      if (held.length + entries.length > MAX_HELD)
        throw new PseudolakeError('storage/failed', `the record holds ${held.length} entries that it can't write`)
      const time = new Date(now()).toISOString()
      for (const entry of entries) held.push({ entry, time })
    },
    async flush() {
      if (held.length > 0) await put()
    },
    get head() {
      return chain.head
    },
    async close() {
      if (held.length > 0) await put()
    },
  })
}
