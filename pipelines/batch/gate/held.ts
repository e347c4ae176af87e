/** Objects that are in memory while the gate looks at them, beside those of the run's storage. */
import { heldStorage } from '../../../lib/parquet/text-group.ts'
import type { Storage, StoredObject } from '../../../lib/storage/storage.ts'

export interface HeldObject {
  readonly object: StoredObject
  readonly bytes: Uint8Array
}

export class Held {
  readonly #objects = new Map<string, HeldObject>()
  readonly #held = heldStorage(this.#objects)

  has(location: string): boolean {
    return this.#objects.has(location)
  }

  /** For as long as `work` takes. */
  async while<T>(objects: readonly HeldObject[], work: () => Promise<T>): Promise<T> {
    for (const held of objects) this.#objects.set(held.object.location, held)
    try {
      return await work()
    } finally {
      for (const { object } of objects) this.#objects.delete(object.location)
    }
  }

  /** A storage that looks here first. */
  over(storage: Storage): Storage {
    const of = (location: string) => (this.has(location) ? this.#held : storage)
    return {
      ...storage,
      stat: (location) => of(location).stat(location),
      read: (location, options) => of(location).read(location, options),
      create: (location, bytes) => storage.create(location, bytes),
      replace: (location, bytes) => storage.replace(location, bytes),
      write: (location) => storage.write(location),
      list: (prefix) => storage.list(prefix),
      inMemory: (object) => of(object.location).inMemory?.(object),
      reads: (location) => (this.has(location) ? undefined : storage.reads?.(location)),
      delete: (location) => storage.delete(location),
    }
  }
}
