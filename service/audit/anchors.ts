import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { makeFolder, syncFolder } from '../keys/folders.ts'
import type { Audit, Head } from './audit.ts'
import { unwritable } from './file.ts'

/**
 * Anchors: the head of a chain, put down from time to time where the service can add and not change. Whoever can write the record can
 * cut its end off, or write all of it anew with hashes that agree; not so, that it agrees with anchors out of reach. Entries after
 * the last anchor have no such guard.
 */
export interface Anchor extends Head {
  readonly time: string
}

export interface AnchorStore {
  /** Puts one down, durably, and changes none that is there. */
  add(anchor: Anchor): Promise<void>
}

const VERSION = 1
export const ANCHOR_EVERY_MS = 60_000

/** Anchors as the lines of a file, appended and flushed each. Out of reach only where the file system sees to it (`chattr +a`, another host). */
export function fileAnchors(file: string): AnchorStore {
  return {
    async add(anchor) {
      const handle = await openToAppend(file).catch((error: unknown) => {
        throw unwritable(error, `the file of anchors ${file}`, { file })
      })
      try {
        // One write, so that lines of several processes do not run into each other.
        await handle.appendFile((await endsInLine(handle)) ? `\n${writeAnchor(anchor)}` : writeAnchor(anchor))
        await handle.datasync()
      } finally {
        await handle.close()
      }
    },
  }
}

async function openToAppend(file: string): Promise<FileHandle> {
  await makeFolder(dirname(file))
  try {
    const handle = await open(file, 'ax+', 0o600)
    await syncFolder(dirname(file))
    return handle
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return open(file, 'a+', 0o600)
  }
}

/** Whether a crash left the last line without its end. */
async function endsInLine(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat()
  if (size === 0) return false
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] !== 0x0a
}

/**
 * Anchors as objects, `<prefix><chain>/<n>.json`, each made on the condition that there is none. Out of reach where the identity has
 * no right to delete, and object lock keeps versions.
 */
export function storageAnchors(storage: Storage, prefix: string): AnchorStore {
  return {
    async add(anchor) {
      const location = `${prefix}${anchor.chain}/${String(anchor.n).padStart(12, '0')}.json`
      try {
        await storage.create(location, Buffer.from(writeAnchor(anchor)))
      } catch (error) {
        if (!isPseudolakeError(error, 'storage/conflict')) throw error
        const there = readAnchor(new TextDecoder().decode(await storage.read(location)))
        // Of an earlier try whose answer was lost; anything else there is somebody else's doing.
        if (there?.hash !== anchor.hash)
          throw new PseudolakeError('storage/conflict', `${location} is there, and is not what the record says`, {
            location,
          })
      }
    },
  }
}

export interface AnchoringOptions {
  readonly clock: Clock
  /** @default 60_000 */
  readonly everyMs?: number
  /** Told of an anchor that could not be put down; the next one tries again. */
  readonly failed: (error: unknown) => void
  /** Told of each that was. */
  readonly anchored?: (anchor: Anchor) => void
}

/**
 * A record whose head is anchored at once, every minute while it moves, and when it is closed. Answers do not wait for anchors.
 * @throws where the first anchor can't be put down: a place that can't be written is an error at the start
 */
export async function anchored(audit: Audit, store: AnchorStore, options: AnchoringOptions): Promise<Audit> {
  const { clock, everyMs = ANCHOR_EVERY_MS, failed } = options
  const stop = new AbortController()
  let last: number | undefined

  async function anchor(): Promise<void> {
    const head = await audit.seal()
    if (head.n === last) return
    const made = { ...head, time: new Date(clock.wall()).toISOString() }
    await store.add(made)
    last = head.n
    options.anchored?.(made)
  }

  async function keepOn(): Promise<void> {
    for (;;) {
      try {
        await clock.sleep(everyMs, stop.signal)
      } catch {
        return
      }
      await anchor().catch(failed)
    }
  }

  await anchor()
  const going = keepOn()
  return {
    record: audit.record,
    seal: audit.seal,
    async close() {
      stop.abort()
      await going
      await anchor().catch(failed)
      await audit.close()
    },
  }
}

function writeAnchor({ chain, n, hash, time }: Anchor): string {
  return `${JSON.stringify({ version: VERSION, chain, n, hash, time })}\n`
}

/** Undefined for a line that is none of ours, a newer version's included. */
export function readAnchor(line: string): Anchor | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { version, chain, n, hash, time } = parsed as Record<string, unknown>
  if (version !== VERSION || typeof chain !== 'string' || typeof n !== 'number' || typeof hash !== 'string')
    return undefined
  return { chain, n, hash, time: typeof time === 'string' ? time : '' }
}
