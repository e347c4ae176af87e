import { PseudolakeError } from '../core/errors.ts'
import type { ObjectWriter, ReadOptions, Storage, StoredObject, Version } from './storage.ts'

/** Storage in this process: for tests, for dry runs, and as the plainest statement of what an adapter does. */
export function memoryStorage(): Storage {
  const objects = new Map<string, { bytes: Uint8Array; stored: StoredObject }>()
  let writes = 0

  function find(location: string) {
    const object = objects.get(location)
    if (!object) throw new PseudolakeError('storage/not-found', `no object at ${location}`, { location })
    return object
  }

  function put(location: string, bytes: Uint8Array): StoredObject {
    const stored = { location, bytes: bytes.length, version: `w${++writes}` as Version, modified: writes }
    objects.set(location, { bytes, stored })
    return stored
  }

  function create(location: string, bytes: Uint8Array): StoredObject {
    if (objects.has(location)) throw new PseudolakeError('storage/conflict', `${location} exists already`, { location })
    return put(location, bytes)
  }

  return {
    async stat(location) {
      return find(location).stored
    },

    async read(location, { start = 0, end, ifMatch, into }: ReadOptions = {}) {
      const { bytes, stored } = find(location)
      if (ifMatch !== undefined && ifMatch !== stored.version)
        throw new PseudolakeError('storage/changed', `${location} is no longer the version that was opened`, {
          location,
        })
      const found = bytes.subarray(start, end)
      if (!into || into.length < found.length) return copy(found)
      into.set(found)
      return into.subarray(0, found.length)
    },

    async create(location, bytes) {
      return create(location, copy(bytes))
    },

    async replace(location, bytes) {
      return put(location, copy(bytes))
    },

    async write(location): Promise<ObjectWriter> {
      let parts: Uint8Array[] = []
      let bytes = 0
      return {
        get bytes() {
          return bytes
        },
        async write(part) {
          parts.push(copy(part))
          bytes += part.length
        },
        async close() {
          return create(location, Buffer.concat(parts))
        },
        async abort() {
          parts = []
        },
      }
    },

    async *list(prefix) {
      for (const [location, { stored }] of [...objects]) if (location.startsWith(prefix)) yield stored
    },

    async move(from, to) {
      const { bytes } = find(from)
      const stored = create(to, bytes)
      objects.delete(from)
      return stored
    },

    async delete(location) {
      objects.delete(location)
    },
  }
}

/** Not `slice`: a Buffer's is a view of the same bytes. */
function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
