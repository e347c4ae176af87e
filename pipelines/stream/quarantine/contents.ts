/** What lies in a stream's quarantine, and what became of it. */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { StreamRecord } from '../../../lib/kinesis/records.ts'
import { exists } from '../../../lib/storage/exists.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { Target } from '../../batch/target.ts'
import type { StreamJob } from '../job.ts'
import { readStreamMark } from '../mark.ts'
import type { StreamPlaces } from '../open.ts'
import { digestOf, readList, type SealedObject } from './list.ts'
import { readReplayed } from './replayed.ts'
import type { Opener } from './sealed.ts'
import type { SealedRecord } from './sealing.ts'

export interface QuarantinedObject extends SealedObject {
  /** Of the object in the quarantine's folder: what the commands take. */
  readonly name: string
  readonly status: 'sealed' | 'replayed' | 'purged' | 'gone'
}

export interface Quarantine {
  readonly target: Target
  readonly objects: readonly QuarantinedObject[]
}

/** @throws PseudolakeError `table/not-found`, `table/mark-unreadable`, `quarantine/unreadable`, `config/invalid` where there is none */
export async function openQuarantine(job: StreamJob, places: StreamPlaces): Promise<Quarantine> {
  if (!job.quarantine)
    throw new PseudolakeError('config/invalid', 'quarantine: the configuration has none', { key: 'quarantine' })
  const target = await Target.open({ ...job.table, create: 'never' }, places)
  const { storage } = places
  const ref = readStreamMark(target.properties, job.name)?.quarantine
  const listed = ref ? await readList(storage, ref) : []
  const replayed = await readReplayed(storage, target.properties, job.name)
  const objects: QuarantinedObject[] = []
  for (const object of listed) {
    const name = object.location.slice(object.location.lastIndexOf('/') + 1).replace(/\.sealed$/, '')
    objects.push({ ...object, name, status: await statusOf(storage, object, replayed.has(object.sha256)) })
  }
  return { target, objects }
}

async function statusOf(storage: Storage, { location }: SealedObject, replayed: boolean) {
  if (await exists(storage, location)) return replayed ? 'replayed' : 'sealed'
  return (await exists(storage, purgedLocation(location))) ? 'purged' : 'gone'
}

/** Beside an object that was removed on purpose: when, and why. */
export function purgedLocation(location: string): string {
  return location.replace(/\.sealed$/, '.purged.json')
}

/** @param names none for all @throws PseudolakeError `options/invalid` for a name that is none */
export function selected(
  objects: readonly QuarantinedObject[],
  names: readonly string[],
): readonly QuarantinedObject[] {
  const unknown = names.find((name) => !objects.some((object) => object.name === name))
  if (unknown !== undefined)
    throw new PseudolakeError('options/invalid', `the quarantine has no object ${unknown}`, {
      hint: '`pseudolake quarantine list` names them.',
    })
  return names.length === 0 ? objects : objects.filter(({ name }) => names.includes(name))
}

/** @throws PseudolakeError `quarantine/unreadable`; what the opener throws */
export async function openObject(
  storage: Storage,
  { location, sha256, shard }: SealedObject,
  opener: Opener,
): Promise<{ readonly record: StreamRecord; readonly reason: string }[]> {
  const bytes = await storage.read(location)
  if (digestOf(bytes) !== sha256)
    throw new PseudolakeError('quarantine/unreadable', `${location}: its bytes are not those that were sealed`, {
      location,
    })
  const { plain } = await opener.open(bytes, location)
  const lines = Buffer.from(plain).toString().split('\n')
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const { sequence, sub, arrivalMs, partitionKey, reason, data } = JSON.parse(line) as SealedRecord
      return { record: { shard, sequence, sub, arrivalMs, partitionKey, data: Buffer.from(data, 'base64') }, reason }
    })
}

/** Removes sealed objects for good; what they were, when and why stays. @returns how many there were */
export async function purge(
  storage: Storage,
  objects: readonly QuarantinedObject[],
  { reason, wallMs }: { readonly reason: string; readonly wallMs: number },
): Promise<number> {
  let purged = 0
  for (const { location, status, records } of objects) {
    if (status === 'purged' || status === 'gone') continue
    const note = { version: 1, at: new Date(wallMs).toISOString(), reason, records, was: status }
    await storage.replace(purgedLocation(location), Buffer.from(JSON.stringify(note)))
    await storage.delete(location)
    purged++
  }
  return purged
}
