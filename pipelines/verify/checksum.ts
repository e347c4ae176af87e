/** Checksums that Hadoop’s file system keeps beside the files it writes on a disk, and that Spark’s tables so have: `.NAME.crc`. */
import { crc32 } from 'node:zlib'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'

const READ_BYTES = 4 << 20
const HEADER_BYTES = 8

export function checksumFileOf(location: string): string {
  const at = location.lastIndexOf('/') + 1
  return `${location.slice(0, at)}.${location.slice(at)}.crc`
}

/**
 * Reads the whole file where there is a checksum file.
 * @returns what is wrong, undefined where nothing is or no checksum is known
 */
export async function wrongChecksum(
  storage: Storage,
  { location, bytes, version }: StoredObject,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const sums = await readIfThere(storage, checksumFileOf(location))
  if (!sums) return undefined
  // `crc`, 0, bytes a checksum is over (big-endian), then a CRC-32 for each piece.
  const view = Buffer.from(sums.buffer, sums.byteOffset, sums.length)
  if (view.length < HEADER_BYTES || view.toString('latin1', 0, 4) !== 'crc\0')
    return 'its checksum file has no known form'
  const piece = view.readUInt32BE(4)
  const pieces = Math.ceil(bytes / piece)
  if (piece === 0 || piece > READ_BYTES || view.length !== HEADER_BYTES + 4 * pieces)
    return `its checksum file is for another size than its ${bytes} bytes`
  const step = READ_BYTES - (READ_BYTES % piece)
  for (let start = 0; start < bytes; start += step) {
    signal?.throwIfAborted()
    const part = await storage.read(location, { start, end: Math.min(bytes, start + step), ifMatch: version })
    for (let at = 0; at < part.length; at += piece)
      if (crc32(part.subarray(at, at + piece)) !== view.readUInt32BE(HEADER_BYTES + ((start + at) / piece) * 4))
        return `the bytes from ${start + at} on are not those that its checksum file is for`
  }
  return undefined
}

async function readIfThere(storage: Storage, location: string): Promise<Uint8Array | undefined> {
  try {
    return await storage.read(location)
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return undefined
    throw error
  }
}
