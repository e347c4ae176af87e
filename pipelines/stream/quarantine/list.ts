/** Lists of sealed objects: what the mark names. Each commit with bad records writes one, with a link to the one before; after 64 one takes the place of all. */
import { createHash } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { StateRef, StreamState } from '../mark.ts'

const VERSION = 1
const MAX_DEPTH = 64

export interface SealedObject {
  readonly location: string
  readonly sha256: string
  readonly shard: string
  /** Sequence numbers. */
  readonly first: string
  readonly last: string
  readonly records: number
  readonly bytes: number
  /** How many records had what. */
  readonly reasons: Readonly<Record<string, number>>
  /** Milliseconds since 1970. */
  readonly sealedMs: number
}

interface ListFile {
  readonly version: number
  readonly depth: number
  readonly previous?: StateRef
  readonly objects: readonly SealedObject[]
}

/** @param location of the new list @throws PseudolakeError `storage/*` */
export async function writeList(
  storage: Storage,
  location: string,
  objects: readonly SealedObject[],
  previous: StreamState['quarantine'],
): Promise<NonNullable<StreamState['quarantine']>> {
  const before = previous && (await readFile(storage, previous))
  const whole = before !== undefined && before.depth >= MAX_DEPTH
  const file: ListFile = {
    version: VERSION,
    depth: before && !whole ? before.depth + 1 : 1,
    ...(previous && !whole && { previous: { location: previous.location, sha256: previous.sha256 } }),
    objects: [...(whole ? await readList(storage, previous as StateRef) : []), ...objects],
  }
  const bytes = Buffer.from(JSON.stringify(file))
  await storage.create(location, bytes)
  const records = objects.reduce((sum, object) => sum + object.records, previous?.records ?? 0)
  return { location, sha256: digestOf(bytes), records }
}

/**
 * Every object, in the order in which they were sealed.
 * @param onFile is told of each list
 * @throws PseudolakeError `quarantine/unreadable`
 */
export async function readList(
  storage: Storage,
  ref: StateRef,
  onFile?: (location: string) => void,
): Promise<SealedObject[]> {
  const lists: (readonly SealedObject[])[] = []
  for (let next: StateRef | undefined = ref; next; ) {
    onFile?.(next.location)
    const file: ListFile = await readFile(storage, next)
    lists.unshift(file.objects)
    next = file.previous
  }
  return lists.flat()
}

async function readFile(storage: Storage, { location, sha256 }: StateRef): Promise<ListFile> {
  const bad = (what: string, cause?: unknown) =>
    new PseudolakeError('quarantine/unreadable', `${location}: ${what}`, { location }, { cause })
  let bytes: Uint8Array
  try {
    bytes = await storage.read(location)
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/not-found')) throw error
    throw bad('the list of sealed records is gone', error)
  }
  if (digestOf(bytes) !== sha256) throw bad('it is not the list that the mark names')
  const file = JSON.parse(Buffer.from(bytes).toString()) as ListFile
  if (file.version !== VERSION) throw bad(`it is of version ${file.version}, and this version reads ${VERSION}`)
  return file
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
