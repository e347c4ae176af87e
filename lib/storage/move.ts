import { isPseudolakeError } from '../core/errors.ts'
import type { ObjectWriter, Storage, StoredObject } from './storage.ts'

const READ_BYTES = 4 << 20

/**
 * Gives an object another name, by a copy where the storage knows no better, inside of the storage where it can; may be called again after a crash, and by two at once.
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
  const source = await storage.stat(from)
  const { bytes } = source
  const writer = await storage.write(to)
  try {
    const { copying } = writer
    const lead = copying && bytes >= copying.leadBytes + copying.leastBytes ? copying.leadBytes : bytes
    await through(storage, source, 0, lead, writer)
    if (lead < bytes && !(await writer.copying?.copy(source, lead, bytes)))
      await through(storage, source, lead, bytes, writer)
    return await writer.close()
  } finally {
    await writer.abort()
  }
}

/** Bytes that come through here. */
async function through(
  storage: Storage,
  { location, version }: StoredObject,
  from: number,
  to: number,
  writer: ObjectWriter,
) {
  for (let start = from; start < to; start += READ_BYTES)
    await writer.write(await storage.read(location, { start, end: Math.min(to, start + READ_BYTES), ifMatch: version }))
}
