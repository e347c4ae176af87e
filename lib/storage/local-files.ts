/** Files of this machine as a storage sees them: their names, what tells one version from another, and what its errors mean. */
import { closeSync, fsync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PseudolakeError } from '../core/errors.ts'
import type { StoredObject, Version } from './storage.ts'

/** Up to here a read, or a write to memory of the system, takes no longer than another thread's beginning and end of it. */
export const SHORT_BYTES = 1 << 20

/** The path a `file:` URI or a plain path stands for. */
export function pathOf(location: string): string {
  return location.startsWith('file:') ? fileURLToPath(location) : location
}

export interface FileStat {
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  isFile(): boolean
}

export function described(location: string, found: FileStat): StoredObject {
  if (!found.isFile()) throw new PseudolakeError('storage/not-found', `${location} is not a file`, { location })
  return {
    location,
    bytes: Number(found.size),
    version: `${found.ino}-${found.size}-${found.mtimeNs}` as Version,
    modified: Number(found.mtimeNs / 1_000_000n),
  }
}

export async function guarded<T>(location: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof PseudolakeError ? error : translated(location, error)
  }
}

export function gone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}

export function translated(location: string, error: unknown): PseudolakeError {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
  const context = { location, errno: code }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EISDIR':
      return new PseudolakeError('storage/not-found', `no file at ${location}`, context, { cause: error })
    case 'EEXIST':
      return new PseudolakeError('storage/conflict', `${location} exists already`, context, { cause: error })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PseudolakeError('storage/denied', `no access to ${location} (${code})`, context, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new PseudolakeError('storage/full', `no room to write ${location} (${code})`, context, { cause: error })
    default:
      return new PseudolakeError('storage/failed', `storage failed at ${location} (${code})`, context, { cause: error })
  }
}

/** Not Node's recursive mkdir: below a file system that takes no folders, such as /proc, that one never ends. */
export function makeFolders(folder: string): void {
  try {
    mkdirSync(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
    makeFolders(dirname(folder))
    // A second ENOENT is final: what is above is there now.
    try {
      mkdirSync(folder)
    } catch (again) {
      if ((again as NodeJS.ErrnoException).code !== 'EEXIST') throw again
    }
  }
}

const synced = promisify(fsync)

/** A new name is durable only when its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  const file = openSync(folder, 'r')
  try {
    await synced(file)
  } finally {
    closeSync(file)
  }
}
