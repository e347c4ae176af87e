/**
 * Which sealed objects were brought into the table after all. A property of its own, changed in the same swap as their rows: it is not the
 * consumer's mark, so that a replay and a consumer at work do not shut each other out.
 */
import { createHash } from 'node:crypto'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { MarkHead } from '../../marks.ts'
import type { StateRef } from '../mark.ts'
import { digestOf } from './list.ts'

const VERSION = 1

interface ReplayMark extends MarkHead {
  readonly version: typeof VERSION
  readonly list: StateRef
}

export function replayProperty(job: string): string {
  return `pseudolake.replay.${job}`
}

/** SHA-256 of the objects. @throws PseudolakeError `quarantine/unreadable` */
export async function readReplayed(
  storage: Storage,
  properties: Readonly<Record<string, string>>,
  job: string,
): Promise<ReadonlySet<string>> {
  const mark = readReplayMark(properties, job)
  if (!mark) return new Set()
  const { location, sha256 } = mark.list
  const bytes = await storage.read(location)
  if (digestOf(bytes) !== sha256)
    throw new PseudolakeError('quarantine/unreadable', `${location}: it is not the list that the table names`, {
      location,
    })
  return new Set((JSON.parse(Buffer.from(bytes).toString()) as { readonly objects: readonly string[] }).objects)
}

export function readReplayMark(properties: Readonly<Record<string, string>>, job: string): ReplayMark | undefined {
  const text = properties[replayProperty(job)]
  if (text === undefined) return undefined
  try {
    const mark = JSON.parse(text) as ReplayMark
    if (mark.version === VERSION) return mark
  } catch {
    // As unreadable as another version.
  }
  throw new PseudolakeError(
    'quarantine/unreadable',
    `property ${replayProperty(job)} is not of a form that is read`,
    {},
  )
}

/** Writes the list of all that was replayed. @returns the property's value, and what tells the snapshot */
export async function writeReplayed(
  storage: Storage,
  location: string,
  objects: ReadonlySet<string>,
  before: MarkHead | undefined,
  run: string,
): Promise<ReplayMark> {
  const bytes = Buffer.from(JSON.stringify({ version: VERSION, objects: [...objects] }))
  await storage.create(location, bytes)
  const list = { location, sha256: digestOf(bytes) }
  const epoch = (before?.epoch ?? 0) + 1
  const digest = createHash('sha256').update(`${epoch}\0${run}\0${list.sha256}`).digest('hex').slice(0, 32)
  return { version: VERSION, epoch, run, digest, list }
}
