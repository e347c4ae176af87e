import { PseudolakeError } from '../core/errors.ts'
import { localStorage } from './local.ts'
import { memoryStorage } from './memory.ts'
import { DEFAULT_READS, type S3StorageOptions } from './s3/options.ts'
import type { Storage } from './storage.ts'

export interface OpenStorageOptions {
  /** How buckets are asked; the adapter is loaded with the first location that is one. @default s3:// locations are refused */
  readonly s3?: S3StorageOptions
}

/** The one place that looks at a location's scheme: a Storage that hands each call to the adapter of its location. */
export function openStorage({ s3: s3Options }: OpenStorageOptions = {}): Storage {
  const local = localStorage()
  const s3 = s3Options && loadedLater(s3Options)
  let memory: Storage | undefined

  function adapter(location: string): Storage {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(location)?.[1]?.toLowerCase()
    if (scheme === 'file' || location.startsWith('/')) return local
    if (scheme === 'memory') {
      memory ??= memoryStorage()
      return memory
    }
    if (s3 && /^s3[an]?$/.test(scheme ?? '')) return s3
    const expected = `an absolute path${s3 ? ', a file:// or an s3:// location' : ' or file:// location'}`
    throw new PseudolakeError(
      'options/invalid',
      `${location}: expected ${expected}, got ${scheme === undefined ? 'a relative path' : `the scheme ${scheme}`}`,
      { location },
    )
  }

  return {
    stat: async (location) => adapter(location).stat(location),
    read: async (location, options) => adapter(location).read(location, options),
    create: async (location, bytes) => adapter(location).create(location, bytes),
    replace: async (location, bytes) => adapter(location).replace(location, bytes),
    write: async (location) => adapter(location).write(location),
    list: (prefix) => adapter(prefix).list(prefix),
    async *unfinished(prefix) {
      yield* adapter(prefix).unfinished?.(prefix) ?? []
    },
    reads: (location) => adapter(location).reads?.(location),
    move: (from, to) => (adapter(from) === adapter(to) ? adapter(from).move?.(from, to) : undefined),
    delete: async (location) => adapter(location).delete(location),
  }
}

/** A run that stays on the disk does without it. */
function loadedLater(options: S3StorageOptions): Storage {
  let loading: Promise<Storage> | undefined
  const s3 = () => (loading ??= import('./s3/s3.ts').then(({ s3Storage }) => s3Storage(options)))
  return {
    stat: async (location) => (await s3()).stat(location),
    read: async (location, range) => (await s3()).read(location, range),
    create: async (location, bytes) => (await s3()).create(location, bytes),
    replace: async (location, bytes) => (await s3()).replace(location, bytes),
    write: async (location) => (await s3()).write(location),
    async *list(prefix) {
      yield* (await s3()).list(prefix)
    },
    async *unfinished(prefix) {
      yield* (await s3()).unfinished?.(prefix) ?? []
    },
    reads: () => ({ ...DEFAULT_READS, ...options.reads }),
    delete: async (location) => (await s3()).delete(location),
  }
}
