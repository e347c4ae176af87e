/**
 * Finished data files that no commit has published yet: what a run that was killed leaves for the next one.
 *
 * What is finished for an input is listed at once, by a small file beside the ledgers. The next run takes over what matches: same input, same
 * configuration, schema and keys, and the very bytes that were written. From the moment a file is listed its writer never deletes it,
 * because another run may have taken it over and published it; what nobody wanted is removed by the run that commits next, whose commit
 * has shut out every earlier one.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { WrittenColumn, WrittenFile } from '../../lib/parquet/written.ts'
import type { ObjectCopying, ObjectWriter, Storage, StoredObject, Version } from '../../lib/storage/storage.ts'
import { hashInput } from '../marks.ts'
import { inOrder } from './in-order.ts'
import type { InputFile } from './inputs.ts'

const VERSION = 2
const READ_BYTES = 4 << 20
/** Of a file with a checksum. In one that pages are mostly copied to, a checksum would be a tenth of the work. */
const CHECKED_BYTES = 8 << 20
/** Ending of the sign that a run has begun. */
const BEGUN = '.begun'

/** What came of an input. */
export interface Finished {
  readonly rows: number
  /** None for an input without rows, several where it was cut. */
  readonly files: readonly FinishedFile[]
}

export interface FinishedFile {
  readonly file: WrittenFile
  /** Of its bytes; missing where there are many, or the storage copied some of them by itself. */
  readonly crc32?: number
  /** Of the object. */
  readonly version?: Version
}

interface Entry {
  readonly version: typeof VERSION
  readonly run: string
  /** Of everything but the input that makes the file what it is. */
  readonly digest: string
  readonly salt: string
  /** Salted hash of the input's location. */
  readonly input: string
  readonly inputBytes: number
  readonly inputVersion: string
  readonly rows: number
  readonly files: readonly (Omit<FinishedFile, 'file'> & { readonly file: StoredFile })[]
}

/** Before an input could have several. */
type FirstEntry = Omit<Entry, 'version' | 'files'> & {
  readonly version: 1
  readonly file?: StoredFile
  readonly crc32: number
}

type StoredFile = Omit<WrittenFile, 'columns'> & { readonly columns: readonly StoredColumn[] }
type StoredColumn = Omit<WrittenColumn, 'min' | 'max'> & { readonly min?: string; readonly max?: string }

/** Which of some data files are in the table, or were. */
type Published = (files: ReadonlySet<string>) => Promise<ReadonlySet<string>>

export class Unpublished {
  readonly #storage: Storage
  readonly #folder: string
  readonly #run: string
  readonly #salt: string
  /** By location of the list's file. */
  readonly #entries = new Map<string, Entry>()
  /** What earlier runs have listed, by what is the same for an input that matches: looked through for every input of a run. */
  readonly #before = new Map<string, string[]>()
  readonly #taken = new Set<string>()
  /** Runs of this job that have begun, by location of their sign, each with the table it files its ledgers under. */
  readonly #begun = new Map<string, { readonly run: string; readonly table: string }>()
  readonly #published: Published
  /** As they were when the run began. */
  #files: ReadonlySet<string> | undefined
  #added = 0

  private constructor(storage: Storage, folder: string, run: string, salt: string, published: Published) {
    this.#storage = storage
    this.#folder = folder
    this.#run = run
    this.#salt = salt
    this.#published = published
  }

  /**
   * Reads what earlier runs have listed; what cannot be read is as good as not listed.
   * @param published a run that was killed behind its commit had no time to strike what it published off the list: it must be neither
   *   published again nor removed
   */
  static async open(
    storage: Storage,
    folder: string,
    run: string,
    salt: string,
    published: Published,
  ): Promise<Unpublished> {
    const unpublished = new Unpublished(storage, folder, run, salt, published)
    const entries = unpublished.#entries
    for await (const { location } of storage.list(`${folder}/`)) {
      if (location.endsWith(BEGUN)) {
        const table = new TextDecoder().decode(await storage.read(location).catch(nothingIfGone))
        unpublished.#begun.set(location, { run: location.slice(folder.length + 1, -BEGUN.length), table })
      }
      if (!isEntry(location, folder)) continue
      const entry = parsed(await storage.read(location).catch(nothingIfGone))
      if (entry) entries.set(location, entry)
    }
    const listed = new Set([...entries.values()].flatMap(locationsOf))
    const known = listed.size === 0 ? listed : await published(listed)
    for (const [location, entry] of entries)
      if (locationsOf(entry).some((file) => known.has(file))) {
        entries.delete(location)
        await storage.delete(location)
      } else {
        const key = matchKey(entry.digest, entry.inputBytes, entry.inputVersion)
        const same = unpublished.#before.get(key)
        if (same) same.push(location)
        else unpublished.#before.set(key, [location])
      }
    return unpublished
  }

  /**
   * Says that the run begins to write: whoever commits later can tell which unfinished files are its.
   * @param table UUID of the table, or of the one that the run's first commit would make
   */
  async begin(table: string): Promise<void> {
    const location = `${this.#folder}/${this.#run}${BEGUN}`
    if (this.#begun.has(location)) return
    await this.#storage.create(location, new TextEncoder().encode(table))
    this.#begun.set(location, { run: this.#run, table })
  }

  /** An orderly end, after success or failure: nothing of the run is unfinished. */
  async end(): Promise<void> {
    const location = `${this.#folder}/${this.#run}${BEGUN}`
    if (this.#begun.delete(location)) await this.#storage.delete(location).catch(() => {})
  }

  /** Whether a run has listed the data file, and nobody has published it. */
  has(location: string): boolean {
    this.#files ??= new Set([...this.#entries.values()].flatMap(locationsOf))
    return this.#files.has(location)
  }

  /** Finished files for the input, if there are some that match to the byte. */
  async take(input: InputFile, digest: string): Promise<Finished | undefined> {
    const { object } = input
    for (const location of this.#before.get(matchKey(digest, object.bytes, object.version)) ?? []) {
      const entry = this.#entries.get(location)
      if (!entry || this.#taken.has(location)) continue
      if (hashInput(entry.salt, object.location) !== entry.input) continue
      const files = entry.files.map((one) => ({ ...one, file: restored(one.file) }))
      if (!(await this.#areWhole(files))) continue
      this.#taken.add(location)
      return { rows: entry.rows, files }
    }
    return undefined
  }

  /** Lists what was finished for an input. */
  async add(input: InputFile, digest: string, { rows, files }: Finished): Promise<void> {
    const entry: Entry = {
      version: VERSION,
      run: this.#run,
      digest,
      salt: this.#salt,
      input: hashInput(this.#salt, input.object.location),
      inputBytes: input.object.bytes,
      inputVersion: input.object.version,
      rows,
      files: files.map((one) => ({ ...one, file: stored(one.file) })),
    }
    const location = `${this.#folder}/${this.#run}-${String(this.#added++).padStart(6, '0')}.json`
    await this.#storage.create(location, new TextEncoder().encode(JSON.stringify(entry)))
    this.#entries.set(location, entry)
    this.#taken.add(location)
  }

  /**
   * After the run's last commit: forgets what was published, and removes what earlier runs left and nobody took, finished or not. A failure
   * here harms nothing.
   * @param data folder of the table's data files
   * @param table its UUID
   * @param ledgersOf where a job's ledgers are for a table, by its UUID
   * @returns files removed
   */
  async clean(data: string, table: string, ledgersOf: (table: string) => string): Promise<number> {
    let removed = await this.#removeUnfinished(data, table, ledgersOf)
    // By what is in the table and not by what stands on the list: a file that is there must stay, however often it is listed.
    const kept = new Set([...this.#taken].flatMap((location) => locationsOf(this.#entries.get(location))))
    const atOnce = this.#storage.reads?.(this.#folder)?.underWay ?? 1
    await inOrder([...this.#entries], atOnce, async ([location, entry]) => {
      try {
        for (const file of locationsOf(entry)) {
          if (kept.has(file)) continue
          await this.#storage.delete(file)
          removed++
        }
        await this.#storage.delete(location)
        this.#entries.delete(location)
      } catch {
        // The next run that commits comes by again.
      }
    })
    return removed
  }

  /**
   * Files in the making have names that begin with `_` and hold their run's id. Ledgers of a run that would have made the table but was not
   * the one that did are filed under a table that never came to be, where nobody would look for them.
   */
  async #removeUnfinished(data: string, table: string, ledgersOf: (table: string) => string): Promise<number> {
    const others = [...this.#begun.values()].filter(({ run }) => run !== this.#run)
    let removed = 0
    const remove = async (prefix: string, isTheirs: (location: string) => boolean) => {
      for await (const { location } of this.#storage.list(prefix)) {
        if (!isTheirs(location)) continue
        await this.#storage.delete(location)
        removed++
      }
    }
    try {
      for (const folder of others.length > 0 ? [data, this.#folder] : [])
        await remove(`${folder}/_`, (location) => others.some(({ run }) => location.includes(`-${run}-`)))
      // Of an input that is cut into several files the first are whole, and not listed, until the last one is.
      for (const { run } of others) {
        const cut = new Set<string>()
        for await (const { location } of this.#storage.list(`${data}/${run}-`))
          if (PIECE.test(location.slice(data.length + run.length + 2))) cut.add(location)
        const listed = [...this.#entries.values()].flatMap(locationsOf)
        for (const location of [...listed, ...(cut.size > 0 ? await this.#published(cut) : [])]) cut.delete(location)
        for (const location of cut) await this.#storage.delete(location)
        removed += cut.size
      }
      await this.#abortUploads(data, others)
      for (const other of others)
        if (other.table !== '' && other.table !== table)
          await remove(`${ledgersOf(other.table)}/`, (location) => location.endsWith(`-${other.run}.jsonl`))
      for (const location of this.#begun.keys()) await this.#storage.delete(location)
      this.#begun.clear()
    } catch {
      // The next run that commits comes by again.
    }
    return removed
  }

  /** What a killed run had sent of a file that it did not come to close. Who may not ask for it leaves it to the bucket's own rule. */
  async #abortUploads(data: string, runs: readonly { readonly run: string }[]): Promise<void> {
    try {
      for (const { run } of runs)
        for await (const upload of this.#storage.unfinished?.(`${data}/${run}-`) ?? []) await upload.abort()
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/denied', 'storage/unsupported')) throw error
    }
  }

  async #areWhole(files: readonly FinishedFile[]): Promise<boolean> {
    for (const one of files) if (!(await this.#isWhole(one))) return false
    return true
  }

  /** What the same write made need not be read again; what was moved is, to the byte, or made anew where it has no checksum. */
  async #isWhole({ file, crc32: checksum, version: written }: FinishedFile): Promise<boolean> {
    const { location, bytes } = file
    try {
      const { bytes: found, version } = await this.#storage.stat(location)
      if (found !== bytes) return false
      if (version === written) return true
      if (checksum === undefined) return false
      let crc = 0
      for (let start = 0; start < bytes; start += READ_BYTES)
        crc = crc32(await this.#storage.read(location, { start, end: start + READ_BYTES, ifMatch: version }), crc)
      return crc === checksum
    } catch (error) {
      if (isPseudolakeError(error, 'storage/not-found', 'storage/changed')) return false
      throw error
    }
  }
}

/** Data files that runs of a job have listed as finished. Changes nothing: some may have been published by a run that was killed behind its commit. */
export async function finishedFiles(storage: Storage, folder: string): Promise<ReadonlySet<string>> {
  const files = new Set<string>()
  for await (const { location } of storage.list(`${folder}/`)) {
    const entry = isEntry(location, folder) && parsed(await storage.read(location).catch(nothingIfGone))
    if (entry) for (const file of locationsOf(entry)) files.add(file)
  }
  return files
}

/** Not one in the making: of a run that died between giving it its name and removing the temporary there are two, and one file. */
function isEntry(location: string, folder: string): boolean {
  return location.endsWith('.json') && !location.startsWith('_', folder.length + 1)
}

/** One of the files that an input is cut into, by the location that the file would have if it was the only one. */
export function pieceOf(output: string, piece: number): string {
  return output.replace(/(?=\.parquet(?:\.part)?$)/, `-${String(piece).padStart(4, '0')}`)
}

/** What the name of a piece has behind its run's, or that of any file that would have become a plain one. */
const PIECE = /^\d{5,}(?:-\d{4,}\.parquet|(?:-\d{4,})?\.parquet\.part)$/

/** Everything besides the input that a data file depends on, as one text. */
export function digestOf(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

export interface ChecksummedWriter extends ObjectWriter {
  readonly finished: Omit<FinishedFile, 'file'>
  /** When it was closed. */
  readonly stored: StoredObject | undefined
}

/** A writer that knows what came of what it was given, and its CRC-32 where that is `CHECKED_BYTES` at most. */
export function checksummed(writer: ObjectWriter): ChecksummedWriter {
  let crc: number | undefined = 0
  let stored: StoredObject | undefined
  async function copy(of: ObjectCopying, source: StoredObject, start: number, end: number): Promise<boolean> {
    const copied = await of.copy(source, start, end)
    // The bytes have not been here.
    if (copied) crc = undefined
    return copied
  }
  return {
    get bytes() {
      return writer.bytes
    },
    get finished() {
      return { ...(crc !== undefined && { crc32: crc }), ...(stored && { version: stored.version }) }
    },
    get stored() {
      return stored
    },
    async write(bytes) {
      if (writer.bytes + bytes.length > CHECKED_BYTES) crc = undefined
      if (crc !== undefined) crc = crc32(bytes, crc)
      await writer.write(bytes)
    },
    get copying() {
      const { copying } = writer
      return copying && { ...copying, copy: copy.bind(undefined, copying) }
    },
    async close() {
      stored = await writer.close()
      return stored
    },
    abort: () => writer.abort(),
  }
}

function matchKey(digest: string, bytes: number, version: string): string {
  return `${digest}\0${bytes}\0${version}`
}

function locationsOf(entry: Entry | undefined): string[] {
  return (entry?.files ?? []).map(({ file }) => file.location)
}

function stored(file: WrittenFile): StoredFile {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  return {
    ...file,
    columns: file.columns.map(({ min, max, ...column }) => ({
      ...column,
      ...(min && { min: base64(min) }),
      ...(max && { max: base64(max) }),
    })),
  }
}

function restored(file: StoredFile): WrittenFile {
  return {
    ...file,
    columns: file.columns.map(({ min, max, ...column }) => ({
      ...column,
      ...(min !== undefined && { min: Buffer.from(min, 'base64') }),
      ...(max !== undefined && { max: Buffer.from(max, 'base64') }),
    })),
  }
}

function parsed(bytes: Uint8Array | undefined): Entry | undefined {
  try {
    const entry = JSON.parse(new TextDecoder().decode(bytes)) as Entry | FirstEntry
    if (typeof entry.digest !== 'string') return undefined
    if (entry.version === VERSION) return entry
    if (entry.version !== 1) return undefined
    const { file, crc32, ...rest } = entry
    return { ...rest, version: VERSION, files: file ? [{ file, crc32 }] : [] }
  } catch {
    return undefined
  }
}

/** Data files that a list's file names; undefined where it is not one that this version reads. Pure. */
export function listedFiles(bytes: Uint8Array): string[] | undefined {
  return parsed(bytes)?.files.map(({ file }) => file.location)
}

/** The run that a file beside the ledgers says has begun; undefined for a file that says something else. Pure. */
export function begunRun(name: string): string | undefined {
  return name.endsWith(BEGUN) ? name.slice(0, -BEGUN.length) : undefined
}

function nothingIfGone(error: unknown): undefined {
  if (!isPseudolakeError(error, 'storage/not-found')) throw error
}
