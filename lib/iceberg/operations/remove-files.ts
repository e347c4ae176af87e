import pLimit from 'p-limit'
import { isPseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'
import type { TableMetadata } from '../metadata.ts'

/** What is taken from the storage when a table needs it no longer. */
export const FILE_KINDS = [
  'data_files',
  'delete_files',
  'manifests',
  'manifest_lists',
  'statistics',
  'metadata',
  'orphans',
  /** What was sent of an object that its writer never ended. */
  'uploads',
] as const
export type FileKind = (typeof FILE_KINDS)[number]

export interface DoomedFile {
  readonly kind: FileKind
  readonly location: string
  /** Where it is known. */
  readonly bytes?: number
  /** How it goes, where that is not by deleting it. */
  readonly remove?: () => Promise<void>
}

export interface Removed {
  readonly counts: Readonly<Record<FileKind, number>>
  readonly bytes: number
  /** Files outside the table's folders: another table may have them too, so they are left. */
  readonly outside: number
  /** Files that could not be removed, the first of them by location. */
  readonly failed: number
  readonly failures: readonly string[]
}

/** Deletes under way at a time. */
const AT_ONCE = 16
const KEPT_FAILURES = 10

/**
 * Removes files, or counts what it would. A file that cannot be removed is counted and does not stop the others: the table is whole
 * without it, and a later run comes by again.
 */
export class Remover {
  readonly #storage: Storage
  readonly #roots: readonly string[]
  readonly #dry: boolean
  readonly #signal: AbortSignal | undefined
  readonly #onRemoved: ((removed: number) => void) | undefined
  readonly #limit = pLimit(AT_ONCE)
  readonly #counts = Object.fromEntries(FILE_KINDS.map((kind) => [kind, 0])) as Record<FileKind, number>
  readonly #running = new Set<Promise<void>>()
  readonly #failures: string[] = []
  #failure: { readonly error: unknown } | undefined
  #bytes = 0
  #outside = 0
  #failed = 0
  #removed = 0

  constructor(options: {
    readonly storage: Storage
    /** Folders without slash at the end; nothing outside is touched. */
    readonly roots: readonly string[]
    readonly dry: boolean
    readonly signal?: AbortSignal
    readonly onRemoved?: (removed: number) => void
  }) {
    this.#storage = options.storage
    this.#roots = options.roots.map((root) => `${root}/`)
    this.#dry = options.dry
    this.#signal = options.signal
    this.#onRemoved = options.onRemoved
  }

  /** Resolves when another may be handed over: no more than a few wait. */
  async add({ kind, location, bytes = 0, remove }: DoomedFile): Promise<void> {
    this.#throwFailure()
    this.#signal?.throwIfAborted()
    if (!this.#roots.some((root) => location.startsWith(root)) || location.includes('/../')) {
      this.#outside++
      return
    }
    if (this.#dry) {
      this.#done(kind, bytes)
      return
    }
    const work = this.#limit(() => this.#remove(kind, location, bytes, remove)).finally(() =>
      this.#running.delete(work),
    )
    this.#running.add(work)
    if (this.#running.size >= 2 * AT_ONCE) await Promise.race(this.#running)
  }

  /** Waits for everything handed over: what is removed next may rest on it. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    this.#throwFailure()
  }

  get removed(): Removed {
    return {
      counts: { ...this.#counts },
      bytes: this.#bytes,
      outside: this.#outside,
      failed: this.#failed,
      failures: [...this.#failures],
    }
  }

  async #remove(kind: FileKind, location: string, bytes: number, remove: DoomedFile['remove']): Promise<void> {
    try {
      await (remove ? remove() : this.#storage.delete(location))
      // Hadoop's file system keeps a checksum beside each file that it writes on a disk: it goes with the file.
      if (location.startsWith('/')) await this.#storage.delete(location.replace(/([^/]+)$/, '.$1.crc'))
      this.#done(kind, bytes)
    } catch (error) {
      if (!isPseudolakeError(error)) {
        this.#failure ??= { error }
        return
      }
      this.#failed++
      if (this.#failures.length < KEPT_FAILURES) this.#failures.push(location)
    }
  }

  #done(kind: FileKind, bytes: number): void {
    this.#counts[kind]++
    this.#bytes += bytes
    this.#onRemoved?.(++this.#removed)
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }
}

/** Folders that are the table's own: its location, and where its properties send its files. */
export function foldersOf({ location, properties }: TableMetadata): string[] {
  const named = ['write.data.path', 'write.metadata.path', 'write.object-storage.path', 'write.folder-storage.path']
  const folders = [location, ...named.flatMap((name) => properties[name] ?? [])]
  return [...new Set(folders.map((folder) => storageLocation(folder).replace(/(?<=[^/])\/+$/, '')))]
}
