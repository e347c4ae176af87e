/**
 * A file that is written under another name, and has its own when it is whole and on the disk. Names are made, and bytes written, where they are asked
 * for: the system has either done sooner than another thread could begin. What waits for the disk is waited for in another thread.
 */
import { randomUUID } from 'node:crypto'
import { linkSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { constants, open } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { monotonic } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'
import { described, gone, guarded, makeFolders, pathOf, SHORT_BYTES, syncFolder } from './local-files.ts'
import type { ObjectWriter } from './storage.ts'

/** A write that takes this long waits for the disk: the next is waited for in another thread. */
const LATE_MS = 20
/** After so much that was written here timers, signals and answers of the network have their turn. */
const TURN_BYTES = 4 << 20

/** @param mode `exclusive`: `storage/conflict` on close where the name is taken */
export async function createWriter(location: string, mode: 'exclusive' | 'replace'): Promise<ObjectWriter> {
  const path = pathOf(location)
  const temporary = join(dirname(path), `_tmp-${randomUUID()}-${basename(path).slice(0, 100)}`)
  const file = await guarded(location, async () => {
    try {
      makeFolders(dirname(path))
    } catch (error) {
      const { code = 'unknown' } = error as NodeJS.ErrnoException
      if (!gone(error) && code !== 'EEXIST') throw error
      const message = `the folder of ${location} cannot be made (${code})`
      throw new PseudolakeError('storage/denied', message, { location, errno: code }, { cause: error })
    }
    return open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o666)
  })
  let bytes = 0
  let ended = false
  let isLate = false
  /** Bytes when others had their turn last. */
  let turned = 0

  async function end(): Promise<void> {
    ended = true
    await file.close().catch(() => {})
    try {
      unlinkSync(temporary)
    } catch {}
  }

  return {
    get bytes() {
      return bytes
    },
    async write(part) {
      await guarded(location, async () => {
        const began = monotonic()
        if (part.length > SHORT_BYTES || isLate)
          for (let done = 0; done < part.length; )
            done += (await file.write(part, done, part.length - done)).bytesWritten
        else for (let done = 0; done < part.length; ) done += writeSync(file.fd, part, done, part.length - done)
        isLate = monotonic() - began > LATE_MS
        bytes += part.length
        if (bytes - turned < TURN_BYTES) return
        turned = bytes
        await setImmediate()
      })
    },
    async close() {
      try {
        return await guarded(location, async () => {
          await file.sync()
          if (mode === 'exclusive') linkSync(temporary, path)
          else renameSync(temporary, path)
          await syncFolder(dirname(path))
          return described(location, statSync(path, { bigint: true }))
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
