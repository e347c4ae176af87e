import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'
import { globMatcher } from './glob.ts'
import { fixedPart } from './overlap.ts'

export interface InputFile {
  readonly object: StoredObject
  /** `key=value` folders between the input path and the file, outermost first; Hive's name for null is null. */
  readonly partitions: readonly (readonly [key: string, value: string | null])[]
}

/** One for all: of a million inputs each would have its own. */
const NO_PARTITIONS: InputFile['partitions'] = []

const HIVE_NULL = '__HIVE_DEFAULT_PARTITION__'

/**
 * The files an input path stands for: one file, all below a folder, or those a glob matches (`*`, `**`, `?`, `[…]`, `{a,b}`).
 * Names that begin with `_` or `.` below the path are passed over, folders too, and so are empty objects: markers and half-done work
 * of other engines. In no particular order and one by one: a million of them need not be in memory at once.
 * @throws PseudolakeError `input/not-found` at the end when there was none
 */
export async function* listInputs(
  storage: Storage,
  path: string,
  hive: boolean,
): AsyncGenerator<InputFile, void, undefined> {
  const base = fixedPart(path)
  const single = base === path && !path.endsWith('/') ? await statOrNothing(storage, path) : undefined
  if (single) {
    yield { object: single, partitions: NO_PARTITIONS }
    return
  }
  const root = base === path && !base.endsWith('/') ? `${base}/` : base
  const matches = base === path ? () => true : globMatcher(path)
  let found = 0
  let passedOver = 0
  for await (const object of storage.list(root)) {
    const below = object.location.slice(root.length).split('/')
    if (object.bytes === 0 || below.some((name) => /^[_.]/.test(name)) || !matches(object.location)) passedOver++
    else {
      found++
      yield { object, partitions: hive ? partitionsOf(below.slice(0, -1)) : NO_PARTITIONS }
    }
  }
  if (found === 0)
    throw new PseudolakeError(
      'input/not-found',
      `no input at ${path}${passedOver > 0 ? ` (${passedOver} files there are empty, hidden or not matched)` : ''}`,
      { location: path, passedOver },
    )
}

/**
 * Just these files, which must lie below the input path; for a caller that knows what is new, an event or an inventory say.
 * @throws PseudolakeError `options/invalid` with the place in the list, `input/not-found`
 */
export async function* namedInputs(
  storage: Storage,
  path: string,
  hive: boolean,
  locations: readonly string[],
): AsyncGenerator<InputFile, void, undefined> {
  const base = fixedPart(path)
  const root = base.endsWith('/') ? base : `${base}/`
  for (const [i, location] of [...new Set(locations)].entries()) {
    if (location !== base && !location.startsWith(root))
      throw new PseudolakeError(
        'options/invalid',
        `--inputs-from: input ${i + 1} of the list is not below input.path`,
        {
          option: 'inputs-from',
          index: i,
        },
      )
    const object = await statOrNothing(storage, location)
    if (!object) throw new PseudolakeError('input/not-found', `no input at ${location}`, { location, index: i })
    const folders = location.slice(root.length).split('/').slice(0, -1)
    if (object.bytes > 0) yield { object, partitions: hive ? partitionsOf(folders) : NO_PARTITIONS }
  }
}

function partitionsOf(folders: readonly string[]): InputFile['partitions'] {
  if (!folders.some((folder) => folder.includes('='))) return NO_PARTITIONS
  return folders.flatMap((folder) => {
    const at = folder.indexOf('=')
    if (at < 1) return []
    const value = unescaped(folder.slice(at + 1))
    return [[unescaped(folder.slice(0, at)), value === HIVE_NULL ? null : value] as const]
  })
}

/** Hive escapes characters of a folder name as `%XX` of their UTF-8 bytes; what is no such escape stays as it is. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function statOrNothing(storage: Storage, location: string): Promise<StoredObject | undefined> {
  try {
    return await storage.stat(location)
  } catch (error) {
    if (error instanceof PseudolakeError && error.code === 'storage/not-found') return undefined
    throw error
  }
}
