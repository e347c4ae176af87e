/** What is in a fake bucket: whole objects, and uploads that are under way. Keys and conditions as S3 has them. */
import { createHash, randomUUID } from 'node:crypto'

/** Bytes, or what makes them when a range is read: an object may be larger than memory. */
export interface Content {
  readonly bytes: number
  read(start: number, end: number): Uint8Array
}

export interface StoredContent {
  readonly content: Content
  readonly etag: string
  readonly modified: Date
  readonly metadata: Readonly<Record<string, string>>
  /** Headers of encryption, as they were sent. */
  readonly encryption: Readonly<Record<string, string>>
}

export interface Upload {
  readonly key: string
  readonly begun: Date
  readonly metadata: Readonly<Record<string, string>>
  readonly encryption: Readonly<Record<string, string>>
  readonly parts: Map<number, { readonly content: Content; readonly etag: string }>
}

export class Bucket {
  readonly objects = new Objects()
  readonly uploads = new Map<string, Upload>()

  begin(key: string, metadata: Upload['metadata'], encryption: Upload['encryption']): string {
    const id = randomUUID()
    this.uploads.set(id, { key, begun: new Date(), metadata, encryption, parts: new Map() })
    return id
  }

  /** In the order of their UTF-8 bytes. */
  keys(prefix: string): readonly string[] {
    return this.objects.under(prefix)
  }
}

/** By key. */
export class Objects extends Map<string, StoredContent> {
  #listed: { readonly prefix: string; readonly keys: readonly string[] } | undefined

  /** In the order of their UTF-8 bytes. Kept for the next page: of a million objects there are a thousand. */
  under(prefix: string): readonly string[] {
    if (this.#listed?.prefix !== prefix)
      this.#listed = { prefix, keys: [...this.keys()].filter((key) => key.startsWith(prefix)).sort(byBytes) }
    return this.#listed.keys
  }

  override set(key: string, value: StoredContent): this {
    if (!this.has(key)) this.#listed = undefined
    return super.set(key, value)
  }

  override delete(key: string): boolean {
    this.#listed = undefined
    return super.delete(key)
  }
}

/** Only surrogates come in another order than their UTF-8. */
function byBytes(a: string, b: string): number {
  if (/[\ud800-\udfff]/.test(a) || /[\ud800-\udfff]/.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  return a < b ? -1 : a > b ? 1 : 0
}

export function contentOf(bytes: Uint8Array): Content {
  return { bytes: bytes.length, read: (start, end) => bytes.subarray(start, end) }
}

/** Of which only the size is kept, and read as zeros. */
export function sizeOnly(bytes: number): Content {
  return { bytes, read: (start, end) => new Uint8Array(end - start) }
}

export function part(of: Content, start: number, end: number): Content {
  return { bytes: end - start, read: (a, b) => of.read(start + a, start + b) }
}

export function joined(contents: readonly Content[]): Content {
  return {
    bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
    read(start, end) {
      const pieces: Uint8Array[] = []
      let at = 0
      for (const one of contents) {
        const [from, to] = [Math.max(start, at), Math.min(end, at + one.bytes)]
        if (from < to) pieces.push(one.read(from - at, to - at))
        at += one.bytes
      }
      return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
    },
  }
}

export function md5(...pieces: (Uint8Array | string)[]): string {
  const hash = createHash('md5')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}
