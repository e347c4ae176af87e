import { PseudolakeError } from '../core/errors.ts'
import { localStorage } from './local.ts'
import { memoryStorage } from './memory.ts'
import type { Storage } from './storage.ts'

/** The one place that looks at a location's scheme: a Storage that hands each call to the adapter of its location. */
export function openStorage(): Storage {
  const local = localStorage()
  let memory: Storage | undefined

  function adapter(location: string): Storage {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(location)?.[1]?.toLowerCase()
    if (scheme === 'file' || location.startsWith('/')) return local
    if (scheme === 'memory') {
      memory ??= memoryStorage()
      return memory
    }
    throw new PseudolakeError(
      'options/invalid',
      `${location}: expected an absolute path or file:// location, got ${scheme === undefined ? 'a relative path' : `the scheme ${scheme}`}`,
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
    delete: async (location) => adapter(location).delete(location),
  }
}
