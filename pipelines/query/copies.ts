/** Files of a table where DuckDB can open them: those of a disk as they are, those of a store as copies in a folder that only we can read. */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import type { Storage } from '../../lib/storage/storage.ts'

const AT_ONCE = 8
const CHUNK_BYTES = 8 << 20

/** Copies of a query's files; `remove` takes them away. */
export class LocalCopies {
  readonly #maxBytes: number
  readonly #limit = pLimit(AT_ONCE)
  readonly #paths = new Map<string, string>()
  #folder: Promise<string> | undefined
  #bytes = 0

  /** @param maxBytes of all copies together */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @throws PseudolakeError `query/too-large` when the files of a store are more than may be copied; `storage/*` */
  async fetch(storage: Storage, files: Iterable<DataFile>, signal?: AbortSignal): Promise<void> {
    const remote = [...new Map([...files].map((file) => [file.path, file])).values()].filter(
      ({ path }) => localPath(path) === undefined && !this.#paths.has(path),
    )
    for (const { bytes } of remote) this.#bytes += bytes
    if (this.#bytes > this.#maxBytes)
      throw new PseudolakeError(
        'query/too-large',
        `the tables' files in the store have ${this.#bytes} bytes, and at most ${this.#maxBytes} are fetched for a query`,
        { bytes: this.#bytes, limit: this.#maxBytes },
      )
    if (remote.length === 0) return
    const folder = await this.#made()
    // All of them, whatever becomes of one: what is removed afterwards must not be written to any more.
    const ended = await Promise.allSettled(
      remote.map(({ path }) => {
        const copy = join(folder, `${this.#paths.size}.parquet`)
        this.#paths.set(path, copy)
        return this.#limit(() => download(storage, storageLocation(path), copy, signal))
      }),
    )
    const failed = ended.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
  }

  pathOf(path: string): string {
    return localPath(path) ?? (this.#paths.get(path) as string)
  }

  async remove(): Promise<void> {
    if (this.#folder) await rm(await this.#folder, { recursive: true, force: true })
  }

  #made(): Promise<string> {
    this.#folder ??= mkdtemp(join(tmpdir(), 'pseudolake-query-'))
    return this.#folder
  }
}

function localPath(path: string): string | undefined {
  const plain = storageLocation(path)
  return plain.startsWith('/') ? plain : undefined
}

/** Piece by piece of one version, so memory does not grow with the file. */
async function download(storage: Storage, location: string, copy: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  const { bytes, version } = await storage.stat(location)
  const file = await open(copy, 'wx', 0o600)
  try {
    for (let start = 0; start < bytes; start += CHUNK_BYTES) {
      signal?.throwIfAborted()
      await file.write(
        await storage.read(location, { start, end: Math.min(bytes, start + CHUNK_BYTES), ifMatch: version }),
      )
    }
  } finally {
    await file.close()
  }
}
