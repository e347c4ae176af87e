import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type ErrorContext, PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import { makeFolder, syncFolder } from '../keys/folders.ts'
import type { Audit, AuditEntry } from './audit.ts'
import { chainWriter, PREFIX, SUFFIX } from './chain.ts'
import { queuedAudit } from './queue.ts'

export interface AuditOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly randomBytes: RandomBytes
}

/**
 * A record in a folder (made if missing, mode 0700). Each process appends to files of its own, so that two never write into one
 * another's lines. The first line is written at once: a folder that can't be written is an error now, not at the first call.
 * @throws PseudolakeError `storage/denied`, `storage/full`, `storage/failed`
 */
export async function fileAudit(folder: string, { now, randomBytes }: AuditOptions): Promise<Audit> {
  const chain = chainWriter(hex(randomBytes(8)))
  let handle: FileHandle | undefined

  /** A new file, also after a failure: behind a line that was cut off nothing can be appended. */
  async function openFile(): Promise<FileHandle> {
    const started = new Date(now()).toISOString()
    const name = `${PREFIX}${started.replaceAll(/[-:.]/g, '')}-${hex(randomBytes(4))}${SUFFIX}`
    await makeFolder(folder, 0o700)
    const file = await open(join(folder, name), 'ax', 0o600)
    try {
      const header = chain.draft([], started)
      await file.appendFile(header.text)
      await file.datasync()
      await syncFolder(folder)
      header.keep()
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async function current(): Promise<FileHandle> {
    // A file that somebody removed takes lines all the same, and nobody would ever read them.
    if (handle && (await handle.stat()).nlink === 0) {
      await handle.close()
      handle = undefined
    }
    handle ??= await openFile()
    return handle
  }

  async function write(entries: readonly AuditEntry[]): Promise<void> {
    const file = await current()
    const time = new Date(now()).toISOString()
    const lines = chain.draft(entries.map((entry) => ({ time, entry })))
    await file.appendFile(lines.text)
    lines.keep()
  }

  async function flush(): Promise<void> {
    // Where a write failed, there is nothing to flush but what was flushed or given up before.
    await handle?.datasync()
  }

  /** What comes after a failure goes into a new file. */
  async function orGiveUp<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      await handle?.close().catch(() => undefined)
      handle = undefined
      throw error
    }
  }

  try {
    handle = await openFile()
  } catch (error) {
    throw unwritable(error, `the audit folder ${folder}`, { folder })
  }
  return queuedAudit({
    write: (entries) => orGiveUp(write(entries)),
    flush: () => orGiveUp(flush()),
    get head() {
      return chain.head
    },
    async close() {
      await handle?.datasync()
      await handle?.close()
      handle = undefined
    },
  })
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Not allowed, no place for a folder, or a file in its place: no later start changes that. */
const NO_FOLDER = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'EEXIST', 'ENOTDIR']

/** What the system says of a place that can't be written, in our codes. @param what names the place */
export function unwritable(error: unknown, what: string, context: ErrorContext): PseudolakeError {
  const { code } = error as NodeJS.ErrnoException
  const ours =
    code !== undefined && NO_FOLDER.includes(code)
      ? 'storage/denied'
      : code === 'ENOSPC' || code === 'EDQUOT'
        ? 'storage/full'
        : 'storage/failed'
  return new PseudolakeError(ours, `${what} can't be written (${code ?? 'unknown error'})`, context)
}
