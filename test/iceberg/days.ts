import type { Clock } from '../../lib/core/clock.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'

export const DAY = 24 * 3_600_000

/** A clock whose days pass when the test says so, and storage whose objects are as old as it says. */
export function days(): { readonly clock: Clock; readonly storage: Storage; pass(n: number): void } {
  let wall = Date.parse('2026-01-01T00:00:00Z')
  let time = 0
  const clock: Clock = {
    now: () => time,
    wall: () => ++wall,
    sleep: async (ms) => {
      time += ms
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
  return {
    clock,
    storage: datedStorage(memoryStorage(), () => wall),
    pass: (n) => {
      wall += n * DAY
    },
  }
}

export function datedStorage(inner: Storage, now: () => number): Storage {
  const written = new Map<string, number>()
  const dated = (object: StoredObject): StoredObject => ({ ...object, modified: written.get(object.location) ?? now() })
  const made = (object: StoredObject) => {
    written.set(object.location, now())
    return dated(object)
  }
  return {
    ...inner,
    stat: async (location) => dated(await inner.stat(location)),
    create: async (location, bytes) => made(await inner.create(location, bytes)),
    replace: async (location, bytes) => made(await inner.replace(location, bytes)),
    async write(location) {
      const writer = await inner.write(location)
      return {
        get bytes() {
          return writer.bytes
        },
        write: (bytes) => writer.write(bytes),
        close: async () => made(await writer.close()),
        abort: () => writer.abort(),
      }
    },
    async *list(prefix) {
      for await (const object of inner.list(prefix)) yield dated(object)
    },
  }
}

export async function locations(storage: Storage, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const { location } of storage.list(prefix)) found.push(location)
  return found.sort()
}
