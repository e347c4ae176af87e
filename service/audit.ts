import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { RandomBytes } from '../lib/crypto/kernel.ts'
import type { Direction } from '../lib/wire/contract.ts'
import { makeFolder, syncFolder } from './keys/folders.ts'

/**
 * The record of who asked for what: one JSON line for each call, never a value. Each process appends to a file of its own, so that
 * two never write into one another's lines; each line carries the SHA-256 of the line before, so that a line taken out or changed
 * afterwards shows ({@link verifyAudit}).
 */
export interface Audit {
  /** @param durable resolves only when the entry would survive a crash of the machine. @throws when it could not be written */
  record(entry: AuditEntry, options: { readonly durable: boolean }): Promise<void>
  /** Writes what is left and closes; later entries are refused. */
  close(): Promise<void>
}

export interface AuditEntry {
  readonly request_id: string
  /** What the gateway before the service called the request; where there is one. */
  readonly gateway_id?: string
  /** Name of the caller; null where nobody was recognized. */
  readonly caller: string | null
  /** ARN of who signed the request, where a gateway vouches for it. */
  readonly principal?: string
  readonly direction: Direction
  /** Null where the keyring has no domain of the name that was sent. */
  readonly domain: string | null
  readonly keys: readonly string[]
  /** Of a way back: what the caller said that it is for, as a name; null where it said nothing that is one. */
  readonly purpose?: string | null
  /** Values asked for; null where the request was refused before they were counted. */
  readonly values: number | null
  /** `answered`, `left` (the caller went away), or the code of the problem. */
  readonly outcome: string
}

export interface AuditOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly randomBytes: RandomBytes
}

const VERSION = 1
const NO_HASH = '0'.repeat(64)

/**
 * Opens a record in a folder (made if missing, mode 0700), and writes its first line: a folder that can't be written is an error
 * now, not at the first call.
 * @throws PseudolakeError `storage/denied`, `storage/full`, `storage/failed`
 */
export async function fileAudit(folder: string, { now, randomBytes }: AuditOptions): Promise<Audit> {
  let queue: Pending[] = []
  let busy: Promise<void> | undefined
  let closed = false
  let handle: FileHandle | undefined
  let previous = NO_HASH
  let sequence = 0

  /** A new file, also after a failure: behind a line that was cut off nothing can be appended. */
  async function openFile(): Promise<FileHandle> {
    const started = new Date(now()).toISOString()
    const name = `audit-${started.replaceAll(/[-:.]/g, '')}-${Buffer.from(randomBytes(4)).toString('hex')}.jsonl`
    await makeFolder(folder, 0o700)
    const file = await open(join(folder, name), 'ax', 0o600)
    const line = JSON.stringify({ version: VERSION, started, previous })
    await file.appendFile(`${line}\n`)
    await file.datasync()
    await syncFolder(folder)
    previous = hashOf(line)
    return file
  }

  async function write(batch: readonly Pending[]): Promise<void> {
    // A file that somebody removed takes lines all the same, and nobody would ever read them.
    if (handle && (await handle.stat()).nlink === 0) {
      await handle.close()
      handle = undefined
    }
    handle ??= await openFile()
    let hash = previous
    let number = sequence
    const lines = batch.map(({ entry }) => {
      const line = JSON.stringify({ n: ++number, time: new Date(now()).toISOString(), ...entry, previous: hash })
      hash = hashOf(line)
      return `${line}\n`
    })
    await handle.appendFile(lines.join(''))
    previous = hash
    sequence = number
    for (const { durable, resolve } of batch) if (!durable) resolve()
    if (batch.some(({ durable }) => durable)) await handle.datasync()
    for (const { resolve } of batch) resolve()
  }

  /** One write, and one flush at most, for all that came in while the last one was under way. */
  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue
      queue = []
      try {
        await write(batch)
      } catch (error) {
        for (const { reject } of batch) reject(error)
        await handle?.close().catch(() => undefined)
        handle = undefined
      }
    }
    // Before anything else can run: an entry that comes from here on starts the next drain.
    busy = undefined
  }

  try {
    handle = await openFile()
  } catch (error) {
    throw translated(error, folder)
  }

  return {
    record(entry, { durable }) {
      if (closed) return Promise.reject(new PseudolakeError('internal/bug', 'an entry after the record was closed'))
      return new Promise((resolve, reject) => {
        queue.push({ entry, durable, resolve, reject })
        busy ??= drain()
      })
    },

    async close() {
      closed = true
      await busy
      await handle?.datasync()
      await handle?.close()
      handle = undefined
    },
  }
}

interface Pending {
  readonly entry: AuditEntry
  readonly durable: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Checks one file's chain. @returns the number of entries, or the number of the first line that does not follow from those before */
export function verifyAudit(text: string): { readonly entries: number } | { readonly brokenAtLine: number } {
  const lines = text.split('\n')
  if (lines.pop() !== '') return { brokenAtLine: lines.length + 1 }
  let hash: string | undefined
  for (const [i, line] of lines.entries()) {
    const previous = previousOf(line)
    if (previous === undefined || (hash !== undefined && previous !== hash)) return { brokenAtLine: i + 1 }
    hash = hashOf(line)
  }
  return { entries: lines.length - 1 }
}

function previousOf(line: string): string | undefined {
  try {
    const { previous } = JSON.parse(line)
    return typeof previous === 'string' ? previous : undefined
  } catch {
    return undefined
  }
}

function hashOf(line: string): string {
  return createHash('sha256').update(line, 'utf8').digest('hex')
}

/** Not allowed, no place for a folder, or a file in its place: no later start changes that. */
const NO_FOLDER = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'EEXIST', 'ENOTDIR']

function translated(error: unknown, folder: string): PseudolakeError {
  const { code } = error as NodeJS.ErrnoException
  const ours =
    code !== undefined && NO_FOLDER.includes(code)
      ? 'storage/denied'
      : code === 'ENOSPC' || code === 'EDQUOT'
        ? 'storage/full'
        : 'storage/failed'
  return new PseudolakeError(ours, `the audit folder ${folder} can't be written (${code ?? 'unknown error'})`, {
    folder,
  })
}
