import { closeSync, openSync } from 'node:fs'

/** Files that stay open between two reads. */
const MOST_OPEN = 16

interface OpenFile {
  readonly file: number
  users: number
}

/**
 * Files that were read a moment ago, by path and version: a file is read in pieces, and opening it for each costs more than a piece.
 * What nobody has read for longest is closed first; the process's end closes the rest.
 */
export class OpenFiles {
  /** The one that was used last is the last. */
  readonly #files = new Map<string, OpenFile>()

  has(path: string, version: string): boolean {
    return this.#files.has(keyOf(path, version))
  }

  /** @throws what the system says when the file is opened, and what `work` throws */
  async use<R>(path: string, version: string, work: (file: number) => Promise<R>): Promise<R> {
    const key = keyOf(path, version)
    const found = this.#files.get(key) ?? { file: openSync(path, 'r'), users: 0 }
    this.#files.delete(key)
    this.#files.set(key, found)
    found.users++
    try {
      return await work(found.file)
    } catch (error) {
      if (found.users === 1) this.#close(key, found)
      throw error
    } finally {
      found.users--
      this.#closeOldest()
    }
  }

  #closeOldest(): void {
    if (this.#files.size <= MOST_OPEN) return
    for (const [key, opened] of this.#files) {
      if (opened.users > 0) continue
      this.#close(key, opened)
      return
    }
  }

  #close(key: string, { file }: OpenFile): void {
    if (!this.#files.delete(key)) return
    closeSync(file)
  }
}

function keyOf(path: string, version: string): string {
  return `${version}\0${path}`
}
