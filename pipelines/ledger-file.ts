/**
 * The ledger's files: what a job's mark names (docs/architecture.md, "What a table remembers").
 *
 * Each commit writes one delta, immutable, with a link to the one before; after MAX_DEPTH of them one file takes the place of all. A file
 * is JSON lines, a header and an entry for each input. Read and written in pieces: a million entries are some 200 MB of text.
 */
import { createHash } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../lib/core/errors.ts'
import type { Storage } from '../lib/storage/storage.ts'

const LEDGER_VERSION = 1
const READ_BYTES = 1 << 20
const WRITE_BYTES = 1 << 18
/** Deltas read one after the other at the start of a run. */
export const MAX_DEPTH = 64

export interface LedgerRef {
  readonly location: string
  /** SHA-256 of the file, hex. */
  readonly sha256: string
}

export interface LedgerEntry {
  /** Salted hash of the input's location. */
  readonly input: string
  readonly bytes: number
  /** ETag, or inode, size and mtime-ns. */
  readonly version: string
  readonly rows: number
  /** Names of its output files, below the table's data folder. */
  readonly files: readonly string[]
  /** Its rows were in the table before any run of ours: nobody knows which files hold them. */
  readonly adopted?: true
}

export interface LedgerHeader {
  readonly version: number
  /** Keeps the hashes of one job from being looked up in a table of known paths; random, made once per job. */
  readonly salt: string
  readonly previous?: LedgerRef
  /** Files behind this one. */
  readonly depth: number
}

/**
 * One file, a header and then its entries. What was yielded is good only once the generator has ended: the checksum comes last.
 * @throws PseudolakeError `table/mark-unreadable` when it is gone, is not what the mark says, or is of a newer version
 */
export async function* readLedgerFile(storage: Storage, ref: LedgerRef): AsyncGenerator<LedgerHeader | LedgerEntry> {
  const hash = createHash('sha256')
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let first = true
  let rest = ''
  for (let start = 0; ; start += READ_BYTES) {
    const bytes = await read(storage, ref, start)
    hash.update(bytes)
    const lines = (rest + decoded(decoder, bytes, ref)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const value = parsed(line, ref)
      if (first) requireVersion(value as LedgerHeader, ref)
      first = false
      yield value
    }
    if (bytes.length < READ_BYTES) break
  }
  if (hash.digest('hex') !== ref.sha256 || rest !== '' || first)
    throw unreadable(ref.location, 'is not the file that the mark names')
}

/** All entries of a chain, newest first: of an input's several entries the first one counts. @throws as `readLedgerFile` */
export async function* readChain(storage: Storage, newest: LedgerRef): AsyncGenerator<LedgerHeader | LedgerEntry> {
  for (let ref: LedgerRef | undefined = newest; ref; ) {
    let previous: LedgerRef | undefined
    for await (const value of readLedgerFile(storage, ref)) {
      if (isHeader(value)) previous = value.previous
      yield value
    }
    ref = previous
  }
}

export function isHeader(value: LedgerHeader | LedgerEntry): value is LedgerHeader {
  return 'salt' in value
}

/** Writes a file under a name of its own; a run that fails later leaves it unnamed and harmless. */
export async function writeLedgerFile(
  storage: Storage,
  location: string,
  header: Omit<LedgerHeader, 'version'>,
  entries: Iterable<LedgerEntry> | AsyncIterable<LedgerEntry>,
): Promise<LedgerRef> {
  const hash = createHash('sha256')
  const writer = await storage.write(location)
  try {
    let text = `${JSON.stringify({ version: LEDGER_VERSION, ...header })}\n`
    const flush = async () => {
      const bytes = new TextEncoder().encode(text)
      text = ''
      hash.update(bytes)
      await writer.write(bytes)
    }
    for await (const entry of entries) {
      text += `${JSON.stringify(entry)}\n`
      if (text.length >= WRITE_BYTES) await flush()
    }
    await flush()
    await writer.close()
  } finally {
    await writer.abort()
  }
  return { location, sha256: hash.digest('hex') }
}

async function read(storage: Storage, ref: LedgerRef, start: number): Promise<Uint8Array> {
  try {
    return await storage.read(ref.location, { start, end: start + READ_BYTES })
  } catch (error) {
    // What a storage does not give now it may give to the next run.
    if (!isPseudolakeError(error, 'storage/not-found')) throw error
    throw unreadable(ref.location, 'is gone', error)
  }
}

function decoded(decoder: TextDecoder, bytes: Uint8Array, ref: LedgerRef): string {
  try {
    return decoder.decode(bytes, { stream: true })
  } catch {
    throw unreadable(ref.location, 'is not text')
  }
}

function parsed(line: string, ref: LedgerRef): LedgerHeader | LedgerEntry {
  try {
    return JSON.parse(line) as LedgerHeader | LedgerEntry
  } catch {
    throw unreadable(ref.location, 'is not the file that the mark names')
  }
}

function requireVersion({ version }: LedgerHeader, ref: LedgerRef): void {
  if (version === LEDGER_VERSION) return
  const { code, message, context } = unreadable(
    ref.location,
    `is of version ${version}, and this version reads ${LEDGER_VERSION}`,
  )
  throw new PseudolakeError(code, message, { ...context, newer: version > LEDGER_VERSION })
}

function unreadable(location: string, problem: string, cause?: unknown): PseudolakeError {
  const options = cause === undefined ? {} : { cause }
  return new PseudolakeError('table/mark-unreadable', `ledger ${location} ${problem}`, { location }, options)
}
