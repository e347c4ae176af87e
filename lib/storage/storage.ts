/**
 * Bytes at a location. The one door to disks and buckets: nothing above it knows which.
 *
 * Three promises carry the whole product, and every adapter's contract test holds it to them:
 * - `create` and `write` are atomic and exclusive. Of any number of racing callers exactly one succeeds, and readers see the object
 *   whole or not at all; table commits rest on it.
 * - A read that carries `ifMatch` sees that version or fails. Offsets planned from one version's footer, applied to another
 *   version's bytes, could copy plaintext into an output.
 * - What was acknowledged is durable: a crash of the machine does not take it back.
 *
 * A location is a URI (`s3://bucket/key`, `file:///path`, `memory:/path`) or an absolute path; `open.ts` picks the adapter.
 */
export interface Storage {
  /** @throws PseudolakeError `storage/not-found` when there is none, or it is a folder */
  stat(location: string): Promise<StoredObject>

  /**
   * Reads bytes `[start, end)`; the whole object by default. Fewer bytes than asked for are returned only where the object ends.
   * @throws PseudolakeError `storage/not-found`, `storage/changed`
   */
  read(location: string, options?: ReadOptions): Promise<Uint8Array>

  /**
   * Writes a new object, visible to others whole or not at all. Makes the folders above it.
   * @throws PseudolakeError `storage/conflict` if there is one already, ours from a lost answer included: compare before giving up;
   * `storage/unknown` where the answer was lost and there is nothing to see, yet
   */
  create(location: string, bytes: Uint8Array): Promise<StoredObject>

  /** Writes an object, over the one that may be there. For hints that may be lost, never for what a commit rests on. */
  replace(location: string, bytes: Uint8Array): Promise<StoredObject>

  /** Starts a new object whose size is not known yet. Nothing is visible before `close`. */
  write(location: string): Promise<ObjectWriter>

  /**
   * Objects whose location starts with `prefix`, in no particular order, with locations spelt as the prefix is.
   * Never holds more than a page in memory. A prefix under which there is nothing lists nothing.
   */
  list(prefix: string): AsyncIterable<StoredObject>

  /**
   * Objects under `prefix` that `write` began and nobody ended, where these are not to be seen in a listing: their writers were killed, or
   * are at work. Missing where a listing has all there is.
   */
  unfinished?(prefix: string): AsyncIterable<UnfinishedObject>

  /** How reads of a location are best asked for, where requests are dear or late; missing where they are neither, as on a disk. */
  reads?(location: string): ReadShape | undefined

  /** All bytes of an object, where they are in memory anyway and need not be read: nobody changes them. */
  inMemory?(object: StoredObject): Uint8Array | undefined

  /**
   * Gives an object another name without its bytes being read; undefined where it can't be done so between these two. A crash may leave it under
   * both names.
   * @throws PseudolakeError `storage/not-found`; `storage/conflict` if there is one at `to` already
   */
  move?(from: string, to: string): Promise<StoredObject> | undefined

  /** Removes an object. One that is not there is no error: deletes are repeated after a crash. */
  delete(location: string): Promise<void>
}

/** One object in the making. Calls come one at a time: each is awaited before the next. */
export interface ObjectWriter {
  /** Bytes handed over so far. */
  readonly bytes: number
  /** Takes the bytes before it resolves; the caller may reuse the buffer then. Resolves late when the storage is slow: back-pressure. */
  write(bytes: Uint8Array): Promise<void>
  /** Where the storage can copy by itself; missing where it cannot, or does not want to. */
  readonly copying?: ObjectCopying | undefined
  /** Makes the object visible. @throws PseudolakeError as `create` */
  close(): Promise<StoredObject>
  /** Forgets what was written and leaves nothing behind; harmless after `close` or a failure. */
  abort(): Promise<void>
}

/** Copies of other objects' bytes into one in the making, which do not come through here. */
export interface ObjectCopying {
  /** Copies of fewer bytes do not pay. */
  readonly leastBytes: number
  /** So many bytes must be written before a copy can follow those that were. */
  readonly leadBytes: number
  /**
   * Puts bytes `[start, end)` of an object behind what was written so far, if it still is the version that is given. Resolves when more may
   * come; a failure may show at a later call.
   * @returns false where the storage did not: nothing has happened, and `copying` is missing from then on
   * @throws PseudolakeError `storage/changed`
   */
  copy(source: StoredObject, start: number, end: number): Promise<boolean>
}

/** Opaque; equal exactly when the bytes were written by the same write. An ETag on S3, inode, size and mtime-ns on a disk. */
export type Version = string & { readonly __brand: 'Version' }

export interface StoredObject {
  readonly location: string
  readonly bytes: number
  readonly version: Version
  /** Milliseconds since 1970; of what was just written, by the clock of this machine where the storage does not say. */
  readonly modified: number
}

export interface ReadOptions {
  readonly start?: number
  readonly end?: number
  readonly ifMatch?: Version
  /** Where the bytes may be put, if there is room for all of them: the result is a part of it then. */
  readonly into?: Uint8Array
}

export interface UnfinishedObject {
  readonly location: string
  /** Milliseconds since 1970. */
  readonly begun: number
  /** Takes it away; its writer fails, if it is still at work. One that is gone is no error. */
  abort(): Promise<void>
}

/** How to read from a storage that answers late. */
export interface ReadShape {
  /** What lies between two ranges is read along up to here: it takes less time than a request of its own. */
  readonly gapBytes: number
  /** Of one request at most. */
  readonly requestBytes: number
  /** Requests of one reader that are under way together at most. */
  readonly underWay: number
  /** Of one reader: what it may hold that was asked for ahead. */
  readonly aheadBytes: number
}
