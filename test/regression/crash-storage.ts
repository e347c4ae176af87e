/**
 * Storage that fails at one chosen operation: as a process that dies there, or as one that lives on with a single answer gone wrong.
 * Objects in the making lie about as `_tmp-…` files the way they do on a disk, so that a death leaves what it would leave there.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { ObjectWriter, ReadOptions, Storage } from '../../lib/storage/storage.ts'

export type Blow =
  /** Dead before the operation took place; every later one fails too. */
  | 'dead before'
  /** The operation took place, nobody heard of it. */
  | 'dead after'
  /** One operation fails and did not take place; the process goes on. */
  | 'fails'
  /** One operation takes place and is reported as failed; the process goes on. */
  | 'answer lost'

export const BLOWS: readonly Blow[] = ['dead before', 'dead after', 'fails', 'answer lost']

/** What a dead process “throws”: no error of the product, so that nobody can handle it. */
export class Dead extends Error {}

export interface CrashStorage {
  readonly storage: Storage
  /** Operations until now. */
  readonly operations: number
  /** What the chosen operation was; undefined when it did not come to it. */
  readonly struck: string | undefined
}

/** Storage that waits at one operation, before it takes place, until `meanwhile` is done: a process that was paused there. */
export function pausedStorage(inner: Storage, at: number, meanwhile: () => Promise<unknown>): CrashStorage {
  return strikable(inner, at, async (work) => {
    await meanwhile()
    return work()
  })
}

/** @param at the operation to strike, counted from 1; none when it is 0 */
export function crashStorage(inner: Storage, at = 0, blow: Blow = 'dead before'): CrashStorage {
  return strikable(inner, at, async (work, what, location) => {
    if (blow === 'dead after' || blow === 'answer lost') await work()
    if (blow.startsWith('dead')) throw new Dead()
    throw new PseudolakeError('storage/failed', `${what} failed`, { location, errno: 'EIO' })
  })
}

type Strike = <T>(work: () => Promise<T>, what: string, location: string) => Promise<T>

function strikable(inner: Storage, at: number, strike: Strike): CrashStorage {
  let operations = 0
  let struck: string | undefined
  let dead = false

  async function operation<T>(name: string, location: string, work: () => Promise<T>): Promise<T> {
    if (dead) throw new Dead()
    if (++operations !== at) return work()
    struck = `${name} ${location}`
    try {
      return await strike(work, struck, location)
    } catch (error) {
      // Whoever is dead does nothing any more.
      dead = error instanceof Dead
      throw error
    }
  }

  async function write(location: string): Promise<ObjectWriter> {
    const slash = location.lastIndexOf('/')
    const temporary = `${location.slice(0, slash)}/_tmp-${operations}-${location.slice(slash + 1)}`
    const writer = await inner.write(location)
    await operation('open', location, () => inner.create(temporary, new Uint8Array(0)))
    let open = true
    let content = new Uint8Array(0)
    return {
      get bytes() {
        return writer.bytes
      },
      write: (bytes) =>
        operation('write', location, async () => {
          content = Buffer.concat([content, bytes])
          await writer.write(bytes)
        }),
      async close() {
        // Whole before it gets its name: who dies between that and `unlink` leaves two files of one content.
        if (!dead) await inner.replace(temporary, content)
        const made = await operation('close', location, () => writer.close())
        await operation('unlink', temporary, () => inner.delete(temporary)).catch((error) => {
          if (dead) throw error
        })
        open = false
        return made
      },
      async abort() {
        if (!open) return
        await operation('abort', temporary, () => inner.delete(temporary)).catch((error) => {
          if (dead) throw error
        })
        await writer.abort()
      },
    }
  }

  const storage: Storage = {
    stat: (location) => operation('stat', location, () => inner.stat(location)),
    read: (location, options?: ReadOptions) => operation('read', location, () => inner.read(location, options)),
    async create(location, bytes) {
      const writer = await write(location)
      try {
        await writer.write(bytes)
        return await writer.close()
      } finally {
        await writer.abort()
      }
    },
    replace: (location, bytes) => operation('replace', location, () => inner.replace(location, bytes)),
    write,
    async *list(prefix) {
      await operation('list', prefix, async () => {})
      yield* inner.list(prefix)
    },
    // As on a disk: between the two there are both names.
    async move(from, to) {
      const bytes = await operation('stat', from, () => inner.read(from))
      const moved = await operation('link', to, () => inner.create(to, bytes))
      await operation('unlink', from, () => inner.delete(from))
      return moved
    },
    delete: (location) => operation('delete', location, () => inner.delete(location)),
  }
  return {
    storage,
    get operations() {
      return operations
    },
    get struck() {
      return struck
    },
  }
}
