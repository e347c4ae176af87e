/**
 * Storage on a file system of this machine.
 *
 * An object appears by `link` from a finished, fsynced temporary in the same folder: unlike `rename` it never replaces what is there,
 * so it is the exclusive create that commits rest on. Temporaries begin with `_`, which every reader of tables and inputs skips;
 * a killed run leaves at most those behind.
 */
import { fstatSync, read, readSync, statSync } from 'node:fs'
import { link, opendir, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { monotonic } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'
import {
  described,
  type FileStat,
  gone,
  guarded,
  makeFolders,
  pathOf,
  SHORT_BYTES,
  syncFolder,
  translated,
} from './local-files.ts'
import { createWriter } from './local-writer.ts'
import { OpenFiles } from './open-files.ts'
import type { ReadOptions, Storage, Version } from './storage.ts'

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
        makeFolders(dirname(target))
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
    const began = monotonic()
    lookedAt(path, () => statSync(path, { bigint: true }), found)
    if (monotonic() - began < NEAR_MS) continue
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
