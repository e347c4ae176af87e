/**
 * Storage on a file system of this machine.
 *
 * An object appears by `link` from a finished, fsynced temporary in the same folder: unlike `rename` it never replaces what is there,
 * so it is the exclusive create that commits rest on. Temporaries begin with `_`, which every reader of tables and inputs skips;
 * a killed run leaves at most those behind.
 */
import { randomUUID } from 'node:crypto'
import { fstatSync, read, readSync, statSync } from 'node:fs'
import { constants, link, mkdir, open, opendir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { PseudolakeError } from '../core/errors.ts'
import { OpenFiles } from './open-files.ts'
import type { ObjectWriter, ReadOptions, Storage, StoredObject, Version } from './storage.ts'

export function localStorage(): Storage {
  const opened = new OpenFiles()
  return {
    async stat(location) {
      return guarded(location, async () => {
        const path = pathOf(location)
        return described(location, await stat(path, { bigint: true }))
      })
    },

    async read(location, options = {}) {
      return guarded(location, async () => {
        const path = pathOf(location)
        const { ifMatch } = options
        // A file that is open is looked at by its handle alone.
        const version = ifMatch !== undefined && opened.has(path, ifMatch) ? ifMatch : versionOf(location, path)
        if (ifMatch !== undefined && ifMatch !== version) throw changed(location)
        return opened.use(path, version, async (file) => {
          const found = fstatSync(file, { bigint: true })
          // Its name may be another's by now, or nobody's.
          if (found.nlink === 0n) versionOf(location, path)
          if (found.nlink === 0n || described(location, found).version !== version) throw changed(location)
          return readRange(file, Number(found.size), options)
        })
      })
    },

    async create(location, bytes) {
      const writer = await createWriter(location, 'exclusive')
      try {
        await writer.write(bytes)
        return await writer.close()
      } finally {
        await writer.abort()
      }
    },

    async replace(location, bytes) {
      const writer = await createWriter(location, 'replace')
      try {
        await writer.write(bytes)
        return await writer.close()
      } finally {
        await writer.abort()
      }
    },

    write: (location) => createWriter(location, 'exclusive'),

    async *list(prefix) {
      const path = pathOf(prefix)
      // A prefix need not end at a folder: `…/part-` lists its siblings that begin so.
      const folder = prefix.endsWith('/') ? path : dirname(path)
      const toLocation = prefix.startsWith('file:') ? (p: string) => pathToFileURL(p).href : (p: string) => p
      const begins = prefix.endsWith('/') ? join(path, '/') : path
      for await (const found of walk(folder)) {
        const paths = found.filter((one) => one.startsWith(begins))
        for (const { path: one, stats } of await looked(paths)) yield described(toLocation(one), stats)
      }
    },

    move: (from, to) =>
      guarded(to, async () => {
        const [path, target] = [pathOf(from), pathOf(to)]
        await stat(path).catch((error: unknown) => {
          throw translated(from, error)
        })
        await makeFolders(dirname(target))
        await link(path, target)
        await syncFolder(dirname(target))
        await unlink(path)
        return described(to, await stat(target, { bigint: true }))
      }),

    async delete(location) {
      await guarded(location, () => unlink(pathOf(location))).catch((error: unknown) => {
        if (!(error instanceof PseudolakeError && error.code === 'storage/not-found')) throw error
      })
    },
  }
}

/** Files of a listing that are looked at together. */
const LOOKED_AT_ONCE = 64

/**
 * A look at a file of a disk takes two microseconds, and handing it to another thread several times that. Where it takes this long, the files are
 * elsewhere: then four threads wait in the place of this one.
 */
const NEAR_MS = 0.1

/** Those of the files that are still there. */
async function looked(paths: readonly string[]): Promise<readonly Looked[]> {
  const found: Looked[] = []
  for (const [i, path] of paths.entries()) {
    const began = performance.now()
    lookedAt(path, () => statSync(path, { bigint: true }), found)
    if (performance.now() - began < NEAR_MS) continue
    const rest = paths.slice(i + 1)
    const stats = await Promise.allSettled(rest.map((one) => stat(one, { bigint: true })))
    for (const [j, one] of stats.entries())
      lookedAt(
        rest[j] as string,
        () => {
          if (one.status === 'rejected') throw one.reason
          return one.value
        },
        found,
      )
    break
  }
  return found
}

interface Looked {
  readonly path: string
  readonly stats: FileStat
}

function lookedAt(path: string, look: () => FileStat, found: Looked[]): void {
  try {
    found.push({ path, stats: look() })
  } catch (error) {
    if (!gone(error)) throw translated(path, error)
  }
}

/** The path a `file:` URI or a plain path stands for. */
export function pathOf(location: string): string {
  return location.startsWith('file:') ? fileURLToPath(location) : location
}

async function readRange(file: number, size: number, { start = 0, end, into }: ReadOptions): Promise<Uint8Array> {
  const length = Math.max(0, Math.min(end ?? size, size) - start)
  const bytes =
    into && into.length >= length ? into.subarray(0, length) : new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
  let filled = 0
  while (filled < length) {
    const bytesRead = await readInto(file, bytes, filled, start + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled === length ? bytes : bytes.subarray(0, filled)
}

/** Up to here a read takes no longer than another thread's beginning and end of it. */
const SHORT_BYTES = 1 << 20

function readInto(file: number, bytes: Uint8Array, at: number, position: number): number | Promise<number> {
  if (bytes.length - at <= SHORT_BYTES) return readSync(file, bytes, at, bytes.length - at, position)
  return new Promise((resolve, reject) => {
    read(file, bytes, at, bytes.length - at, position, (error, count) => (error ? reject(error) : resolve(count)))
  })
}

function versionOf(location: string, path: string): Version {
  return described(location, statSync(path, { bigint: true })).version
}

function changed(location: string): PseudolakeError {
  return new PseudolakeError('storage/changed', `${location} is no longer the version that was opened`, { location })
}

async function createWriter(location: string, mode: 'exclusive' | 'replace'): Promise<ObjectWriter> {
  const path = pathOf(location)
  const temporary = join(dirname(path), `_tmp-${randomUUID()}-${basename(path).slice(0, 100)}`)
  const file = await guarded(location, async () => {
    await makeFolders(dirname(path)).catch((error: NodeJS.ErrnoException) => {
      throw gone(error) || error.code === 'EEXIST'
        ? new PseudolakeError(
            'storage/denied',
            `the folder of ${location} cannot be made (${error.code})`,
            { location, errno: error.code ?? 'unknown' },
            { cause: error },
          )
        : error
    })
    return open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o666)
  })
  let bytes = 0
  let ended = false

  async function end(): Promise<void> {
    ended = true
    await file.close().catch(() => {})
    await unlink(temporary).catch(() => {})
  }

  return {
    get bytes() {
      return bytes
    },
    async write(part) {
      await guarded(location, async () => {
        for (let done = 0; done < part.length; ) done += (await file.write(part, done, part.length - done)).bytesWritten
        bytes += part.length
      })
    },
    async close() {
      try {
        return await guarded(location, async () => {
          await file.sync()
          if (mode === 'exclusive') await link(temporary, path)
          else await rename(temporary, path)
          await syncFolder(dirname(path))
          return described(location, await stat(path, { bigint: true }))
        })
      } finally {
        await end()
      }
    },
    async abort() {
      if (!ended) await end()
    },
  }
}

/** Not Node's recursive mkdir: below a file system that takes no folders, such as /proc, that one never ends. */
async function makeFolders(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
    await makeFolders(dirname(folder))
    // A second ENOENT is final: what is above is there now.
    await mkdir(folder).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again
    })
  }
}

/** A new name is durable only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The files below a folder, some at a time: one by one each would take its own turn through all who ask. */
async function* walk(folder: string): AsyncGenerator<readonly string[]> {
  let entries: Awaited<ReturnType<typeof opendir>>
  try {
    entries = await opendir(folder, { bufferSize: 256 })
  } catch (error) {
    if (gone(error)) return
    throw translated(folder, error)
  }
  let files: string[] = []
  for await (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.isFile()) files.push(path)
    // A link is followed to a file, as cloud sync tools lay inputs out; to a folder it is not: it could lead in a circle.
    else if (entry.isSymbolicLink() && (await isFile(path))) files.push(path)
    if (files.length < LOOKED_AT_ONCE) continue
    yield files
    files = []
  }
  if (files.length > 0) yield files
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

interface FileStat {
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  isFile(): boolean
}

function described(location: string, found: FileStat): StoredObject {
  if (!found.isFile()) throw new PseudolakeError('storage/not-found', `${location} is not a file`, { location })
  return {
    location,
    bytes: Number(found.size),
    version: `${found.ino}-${found.size}-${found.mtimeNs}` as Version,
    modified: Number(found.mtimeNs / 1_000_000n),
  }
}

async function guarded<T>(location: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof PseudolakeError ? error : translated(location, error)
  }
}

function gone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function translated(location: string, error: unknown): PseudolakeError {
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
