/**
 * Records whose keys were seen before, as producers that try again send them: dropped, in bounded memory, across restarts.
 *
 * A key is remembered for a time after it arrived, as 128 bits of an HMAC: of two different keys ever to be taken for one there is no chance
 * worth a word. The HMAC's key comes from the service (a deterministic pseudonym of a constant), so that what is written beside the table can't
 * be searched for an identifier by who cannot ask the service. What a commit has seen anew is written as one file and named by the mark
 * that is committed with it: a consumer that begins knows just what the table has.
 */
import { createHmac } from 'node:crypto'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Pinned } from '../batch/identities.ts'
import { Numeral, sourceOf } from './json.ts'
import type { StateRef } from './mark.ts'
import { digestOf } from './quarantine/list.ts'

/** What is pseudonymized for the HMAC's key. */
const CONSTANT = 'pseudolake dedupe key'
const HASH_BYTES = 16
/** Of an entry in a map, with its key of 32 hex digits. */
const ENTRY_BYTES = 112
/** Files that a mark names at most; then one takes the place of all. */
const MAX_FILES = 16
const MAGIC = Buffer.from('PLDK\u0001')
const HEADER_BYTES = MAGIC.length
const RECORD_BYTES = HASH_BYTES + 8

export interface DedupeOptions {
  readonly keys: readonly (readonly string[])[]
  readonly windowMs: number
  /** What is remembered may take so much; what came first is forgotten first. */
  readonly memoryBytes: number
  readonly storage: Storage
  /** Folder of the files, without a slash at its end. */
  readonly folder: string
  readonly run: string
}

export class Dedupe {
  /** Keys that were forgotten before their time, as there were too many. */
  forgotten = 0
  readonly #options: DedupeOptions
  readonly #most: number
  /** When each arrived, in the order in which they came. */
  #seen = new Map<string, number>()
  #fresh = new Map<string, number>()
  #latestMs = 0
  #secret = ''

  constructor(options: DedupeOptions) {
    this.#options = options
    this.#most = Math.max(1000, Math.floor(options.memoryBytes / ENTRY_BYTES))
  }

  /** @returns whether a record is the first with its key; one that has none of the fields is told from nothing, and always is */
  see(record: Readonly<Record<string, unknown>>, arrivalMs: number): boolean {
    const values = this.#options.keys.map((path) => valueAt(record, path))
    if (values.every((value) => value === undefined || value === null)) return true
    const hash = createHmac('sha256', this.#secret)
      .update(JSON.stringify(values.map(keyText)))
      .digest('hex')
      .slice(0, 2 * HASH_BYTES)
    const before = this.#seen.get(hash)
    this.#latestMs = Math.max(this.#latestMs, arrivalMs)
    if (before !== undefined && Math.abs(arrivalMs - before) <= this.#options.windowMs) return false
    this.#keep(hash, arrivalMs)
    this.#fresh.set(hash, arrivalMs)
    return true
  }

  /**
   * What the table's mark says was seen; all else is forgotten.
   * @param secret key of the HMAC
   * @throws PseudolakeError `table/mark-unreadable`, `storage/*`
   */
  async load(files: readonly StateRef[], secret: string): Promise<void> {
    this.#secret = secret
    this.#seen = new Map()
    this.#fresh = new Map()
    for (const file of files) for (const [hash, arrivalMs] of await this.#read(file)) this.#keep(hash, arrivalMs)
    for (const arrivalMs of this.#seen.values()) this.#latestMs = Math.max(this.#latestMs, arrivalMs)
  }

  /**
   * Writes what was seen since the last commit.
   * @param before files that the mark names
   * @returns those that the next one is to name
   */
  async save(before: readonly StateRef[], table: string, epoch: number): Promise<readonly StateRef[]> {
    if (this.#fresh.size === 0) return before
    const all = before.length >= MAX_FILES
    this.#expire()
    const entries = all ? this.#seen : this.#fresh
    const bytes = Buffer.allocUnsafe(HEADER_BYTES + entries.size * RECORD_BYTES)
    MAGIC.copy(bytes)
    let at = HEADER_BYTES
    for (const [hash, arrivalMs] of entries) {
      bytes.write(hash, at, 'hex')
      bytes.writeDoubleLE(arrivalMs, at + HASH_BYTES)
      at += RECORD_BYTES
    }
    const { storage, folder, run } = this.#options
    const location = `${folder}/${table}/${String(epoch).padStart(8, '0')}-${run}-${at}.keys`
    try {
      await storage.create(location, bytes)
    } catch (error) {
      // Of a try before this one, which ended after it.
      if (!isPseudolakeError(error, 'storage/conflict')) throw error
      if (Buffer.compare(await storage.read(location), bytes) !== 0) throw error
    }
    return [...(all ? [] : before), { location, sha256: digestOf(bytes) }]
  }

  /**
   * What was saved is committed: files that the mark names no more go. A consumer that still begins with them is ended by the new mark.
   */
  async committed(before: readonly StateRef[], now: readonly StateRef[]): Promise<void> {
    this.#fresh = new Map()
    const kept = new Set(now.map(({ location }) => location))
    try {
      for (const { location } of before) if (!kept.has(location)) await this.#options.storage.delete(location)
    } catch (error) {
      // What stays costs room and nothing else; the commit stands.
      if (!isPseudolakeError(error)) throw error
    }
  }

  #keep(hash: string, arrivalMs: number): void {
    this.#seen.delete(hash)
    this.#seen.set(hash, arrivalMs)
    if (this.#seen.size <= this.#most) return
    this.#expire()
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= this.#most) break
      this.#seen.delete(oldest)
      this.forgotten++
    }
  }

  /** Those that came first are the oldest, nearly: shards are not in step. */
  #expire(): void {
    const oldest = this.#latestMs - this.#options.windowMs
    for (const [hash, arrivalMs] of this.#seen) {
      if (arrivalMs >= oldest) break
      this.#seen.delete(hash)
    }
  }

  async #read({ location, sha256 }: StateRef): Promise<[string, number][]> {
    const bad = (what: string, cause?: unknown) =>
      new PseudolakeError('table/mark-unreadable', `${location}: ${what}`, { location }, { cause })
    let bytes: Buffer
    try {
      bytes = Buffer.from(await this.#options.storage.read(location))
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/not-found')) throw error
      throw bad('the keys that were seen are gone', error)
    }
    if (digestOf(bytes) !== sha256) throw bad('it is not the file that the mark names')
    if (!bytes.subarray(0, HEADER_BYTES).equals(MAGIC)) throw bad('it is of a version that is not read here')
    const entries: [string, number][] = []
    for (let at = HEADER_BYTES; at < bytes.length; at += RECORD_BYTES)
      entries.push([bytes.toString('hex', at, at + HASH_BYTES), bytes.readDoubleLE(at + HASH_BYTES)])
    return entries
  }
}

function valueAt(record: unknown, path: readonly string[]): unknown {
  let value = record
  for (const word of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, word)) return undefined
    value = (value as Record<string, unknown>)[word]
  }
  return value
}

/** Equal for equal values, whether numbers came with their text or without. */
function keyText(value: unknown): unknown {
  if (value === undefined || value === null) return null
  const number = value instanceof Numeral ? Number(value.source) : value
  if (typeof number === 'number') return Number.isSafeInteger(number) ? `n${number}` : `n${sourceOf(value)}`
  return typeof value === 'string' ? `s${value}` : `j${sourceOf(value)}`
}

/** What nobody has who cannot ask the service, and stays the same for as long as the table's key does. */
export async function dedupeSecret(
  client: Pseudonymizer,
  pinned: Pinned | undefined,
  signal: AbortSignal,
): Promise<string> {
  const { values } = await client.call({
    direction: 'pseudonymize',
    values: [CONSTANT],
    domain: pinned?.rule.domain ?? 'default',
    deterministic: true,
    signal,
    ...(pinned?.identity.key !== undefined && { key: pinned.identity.key }),
  })
  return values[0] as string
}
