/** Whether what a stream's mark says is sealed is there: the lists, and each object by its size, its checksum and its header. Opens nothing. */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { StreamMark } from '../stream/mark.ts'
import { purgedLocation } from '../stream/quarantine/contents.ts'
import { digestOf, readList, type SealedObject } from '../stream/quarantine/list.ts'
import { readReplayed, readReplayMark, replayProperty } from '../stream/quarantine/replayed.ts'
import { splitSealed } from '../stream/quarantine/sealed.ts'
import type { MarkChecks } from './marks.ts'

export interface QuarantineCounts {
  readonly objects: number
  readonly replayed: number
  readonly purged: number
}

/** One object at a time is in memory. */
export async function checkQuarantine(
  mark: StreamMark,
  job: string,
  { storage, metadata, reached, findings, signal }: MarkChecks,
): Promise<QuarantineCounts> {
  const found = (location: string, message: string) => findings.add({ kind: 'quarantine', location, message })
  const counts = { objects: 0, replayed: 0, purged: 0 }
  let objects: readonly SealedObject[] = []
  if (mark.quarantine) {
    const { location, records } = mark.quarantine
    try {
      objects = await readList(storage, mark.quarantine, (list) => reached.files.add(list))
      const listed = objects.reduce((sum, object) => sum + object.records, 0)
      if (listed !== records) found(location, `the lists have ${listed} records, and the mark says ${records}`)
    } catch (error) {
      if (!isPseudolakeError(error, 'quarantine/unreadable')) throw error
      found(location, error.message)
    }
  }
  const sums = new Set<string>()
  const places = new Set<string>()
  for (const object of objects) {
    signal?.throwIfAborted()
    const { location, sha256 } = object
    counts.objects++
    sums.add(sha256)
    if (places.has(location)) found(location, 'it is listed twice, so its records count double')
    places.add(location)
    reached.files.add(location)
    const reasons = Object.values(object.reasons).reduce((sum, records) => sum + records, 0)
    if (reasons !== object.records) found(location, `${reasons} records have a reason, and it has ${object.records}`)
    const bytes = await read(location)
    if (bytes) look(object, bytes)
    else if (await read(purgedLocation(location))) {
      counts.purged++
      reached.files.add(purgedLocation(location))
    } else found(location, 'it is not there, and no purge says why')
  }
  await checkReplayed()
  return counts

  async function read(location: string): Promise<Uint8Array | undefined> {
    try {
      return await storage.read(location)
    } catch (error) {
      if (isPseudolakeError(error, 'storage/not-found')) return undefined
      throw error
    }
  }

  function look(object: SealedObject, bytes: Uint8Array): void {
    const { location } = object
    if (bytes.length !== object.bytes) found(location, `has ${bytes.length} bytes, and its list says ${object.bytes}`)
    else if (digestOf(bytes) !== object.sha256) found(location, 'its bytes are not those that were sealed')
    else
      try {
        const { header } = splitSealed(bytes, location)
        const differs = (['shard', 'first', 'last', 'records'] as const).find((name) => header[name] !== object[name])
        if (differs !== undefined || header.job !== job)
          found(location, `its ${differs ?? 'job'} is not what its list says`)
      } catch (error) {
        if (!isPseudolakeError(error, 'quarantine/unreadable')) throw error
        found(location, error.message)
      }
  }

  async function checkReplayed(): Promise<void> {
    try {
      const list = readReplayMark(metadata.properties, job)?.list
      if (!list) return
      reached.files.add(list.location)
      for (const sha256 of await readReplayed(storage, metadata.properties, job))
        if (sums.has(sha256)) counts.replayed++
        else found(list.location, `it names an object that no list of the mark has (${sha256.slice(0, 12)}…)`)
    } catch (error) {
      if (!isPseudolakeError(error, 'quarantine/unreadable', 'storage/not-found')) throw error
      found(replayProperty(job), error.message)
    }
  }
}
