import { isPseudolakeError } from '../core/errors.ts'
import type { Storage, StoredObject } from './storage.ts'

const READ_BYTES = 4 << 20

/**
 * Gives an object another name, by a copy where the storage knows no better; may be called again after a crash, and by two at once.
 * @param bytes of the object: one of that size at `to` is the one that an earlier call left there
 * @throws PseudolakeError `storage/not-found` where it is under neither name, `storage/conflict` where another object has the name
 */
export async function moveObject(storage: Storage, from: string, to: string, bytes: number): Promise<StoredObject> {
  try {
    const moved = await (storage.move?.(from, to) ?? copied(storage, from, to))
    await storage.delete(from)
    return moved
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/not-found', 'storage/conflict')) throw error
    const there = await storage.stat(to).catch(() => undefined)
    if (there?.bytes !== bytes) throw error
    await storage.delete(from)
    return there
  }
}

async function copied(storage: Storage, from: string, to: string): Promise<StoredObject> {
  const { bytes, version } = await storage.stat(from)
  const writer = await storage.write(to)
  try {
    for (let start = 0; start < bytes; start += READ_BYTES)
      await writer.write(
        await storage.read(from, { start, end: Math.min(bytes, start + READ_BYTES), ifMatch: version }),
      )
    return await writer.close()
  } finally {
    await writer.abort()
  }
}
