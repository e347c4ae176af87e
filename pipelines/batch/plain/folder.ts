/**
 * A folder of plain Parquet files that a job appends to. It has no swap in which files and mark could change at once, so a step goes:
 *
 * 1. its files are made and looked at by the gate in the hidden part of the folder;
 * 2. an intent with their final names is created. There is one name for it in each epoch of a job, so of two runners one goes on;
 * 3. the files get their names;
 * 4. the mark is committed;
 * 5. files that the step replaces are removed, and the intent.
 *
 * Readers see nothing before 2, part of the step between 3 and 4, and may see a replaced file beside the new one until 5. A run begins by
 * finishing what an earlier one left between 2 and 5; what cannot be finished is taken back.
 */
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import type { TableMetadata } from '../../../lib/iceberg/metadata.ts'
import { planFiles } from '../../../lib/iceberg/scan.ts'
import { moveObject } from '../../../lib/storage/move.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { hashInput, type Mark, readMark } from '../../marks.ts'
import { HIDDEN } from './catalog.ts'
import { type Intent, readIntent, writeIntent } from './intent.ts'

/** A step that was declared. */
export interface Unfinished {
  readonly location: string
  readonly intent: Intent
}

export class PlainFolder {
  /** Where files are made. They do not end as Parquet files do: a reader that looks into hidden folders passes over them. */
  readonly making: string
  readonly #storage: Storage
  readonly #folder: string
  readonly #job: string
  readonly #intents: string

  constructor(storage: Storage, folder: string, job: string) {
    this.#storage = storage
    this.#folder = folder
    this.#job = job
    this.making = `${folder}/${HIDDEN}/tmp`
    this.#intents = `${folder}/${HIDDEN}/intents/${job}`
  }

  /** The final location of a file of an input. @param piece of how many it was cut into */
  finalLocation(mark: Pick<Mark, 'epoch'>, uuid: string, input: string, piece: number, of: number): string {
    const epoch = String(mark.epoch).padStart(8, '0')
    const hash = hashInput(uuid, input).slice(0, 16)
    const behind = of > 1 ? `-${String(piece).padStart(4, '0')}` : ''
    return `${this.#folder}/${this.#job}-${epoch}-${hash}${behind}.parquet`
  }

  /** @throws PseudolakeError `table/mark-changed` where another runner is at this step */
  async declare(intent: Intent): Promise<Unfinished> {
    const location = `${this.#intents}/${String(intent.mark.epoch).padStart(8, '0')}.json`
    const bytes = writeIntent(intent)
    try {
      await this.#storage.create(location, bytes)
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/conflict')) throw error
      const there = await this.#storage.read(location).catch(nothingIfGone)
      // Ours, and the answer was lost.
      if (!there || Buffer.compare(there, bytes) !== 0)
        throw new PseudolakeError(
          'table/mark-changed',
          `another run of job ${this.#job} publishes epoch ${intent.mark.epoch}`,
          { job: this.#job, epoch: intent.mark.epoch },
          { cause: error },
        )
    }
    return { location, intent }
  }

  /** Gives the files their names; those that have them keep them. @throws PseudolakeError `storage/*`, with outcome `partly-published` */
  async place({ intent }: Unfinished): Promise<void> {
    try {
      for (const [i, { path, bytes }] of intent.files.entries())
        await moveObject(this.#storage, intent.from[i] as string, path, bytes)
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      const context = { ...error.context, outcome: 'partly-published', hint: HINT }
      throw new PseudolakeError(error.code, error.message, context, { cause: error.cause })
    }
  }

  /** Behind the mark. @param now in milliseconds since 1970 */
  async end({ location, intent }: Unfinished, now: number): Promise<void> {
    const kept = new Set(intent.files.map(({ path }) => path))
    for (const removed of intent.removed) if (!kept.has(removed)) await this.#storage.delete(removed)
    for (const from of intent.from) await this.#storage.delete(from)
    await this.#storage.delete(location)
    // Intents in the making: whoever was at one is too late by this mark.
    for await (const { location: other } of this.#storage.list(`${this.#intents}/_`)) await this.#storage.delete(other)
    // What a run could not remove when its storage failed; what is younger may be another job's.
    for await (const { location: old, modified } of this.#storage.list(`${this.making}/`))
      if (modified < now - OLD_MS) await this.#storage.delete(old)
  }

  /**
   * Ends a step that the marks have gone beyond, or that can't be finished: what of its files is not in the folder by its marks is removed, be it
   * that the step did not come to be, or that it took their place.
   * @param metadata of the marks
   */
  async settle({ location, intent }: Unfinished, metadata: TableMetadata | undefined): Promise<void> {
    const loose = new Set([...intent.files.map(({ path }) => path), ...intent.removed])
    if (metadata) for await (const { file } of planFiles(this.#storage, metadata)) loose.delete(file.path)
    for (const path of [...loose, ...intent.from]) await this.#storage.delete(path)
    await this.#storage.delete(location)
  }

  /** Steps of this job that were begun, oldest first. @throws PseudolakeError `table/mark-unreadable` */
  async unfinished(): Promise<Unfinished[]> {
    const found: Unfinished[] = []
    for await (const { location } of this.#storage.list(`${this.#intents}/`)) {
      if (!/\/\d+\.json$/.test(location)) continue
      const bytes = await this.#storage.read(location).catch(nothingIfGone)
      if (bytes) found.push({ location, intent: readIntent(bytes, location) })
    }
    return found.sort((a, b) => a.intent.mark.epoch - b.intent.mark.epoch)
  }

  /** Whether each of its files is there under one of its names. In this order: a file that another runner moves now is not missed. */
  async canFinish({ intent }: Unfinished): Promise<boolean> {
    for (const [i, { path, bytes }] of intent.files.entries())
      if (!(await this.#is(intent.from[i] as string, bytes)) && !(await this.#is(path, bytes))) return false
    return true
  }

  /** Parquet files in the folder that no job of ours put there, as far as a first run needs to know. */
  async foreign(): Promise<number> {
    let found = 0
    for await (const { location, bytes } of this.#storage.list(`${this.#folder}/`)) {
      const below = location.slice(this.#folder.length + 1).split('/')
      if (bytes > 0 && location.endsWith('.parquet') && !below.some((name) => /^[_.]/.test(name))) found++
    }
    return found
  }

  /** In the folder of an Iceberg table a plain file is an orphan, which its upkeep removes. @throws PseudolakeError `output/exists` */
  async requireNoTable(): Promise<void> {
    for await (const { location } of this.#storage.list(`${this.#folder}/metadata/`))
      if (location.endsWith('.metadata.json'))
        throw new PseudolakeError('output/exists', `${this.#folder} is the folder of an Iceberg table`, {
          location: this.#folder,
          hint: 'Choose another folder for plain Parquet files: the table would take them for orphans.',
        })
  }

  async #is(location: string, bytes: number): Promise<boolean> {
    try {
      return (await this.#storage.stat(location)).bytes === bytes
    } catch (error) {
      if (isPseudolakeError(error, 'storage/not-found')) return false
      throw error
    }
  }
}

/** Whether the marks are as they were when the step was planned, so that it can be finished. */
export function isOpen(intent: Intent, metadata: TableMetadata | undefined): boolean {
  return (metadata && readMark(metadata.properties, intent.job))?.digest === intent.planned
}

/** As old as the leftovers of tables are before they are removed. */
const OLD_MS = 3 * 24 * 3600 * 1000

const HINT = 'Run the job again: it finishes this step before anything else.'

function nothingIfGone(error: unknown): undefined {
  if (!isPseudolakeError(error, 'storage/not-found')) throw error
}
