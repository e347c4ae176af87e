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
  readonly objects = new Map<string, StoredContent>()
  readonly uploads = new Map<string, Upload>()

  begin(key: string, metadata: Upload['metadata'], encryption: Upload['encryption']): string {
    const id = randomUUID()
    this.uploads.set(id, { key, begun: new Date(), metadata, encryption, parts: new Map() })
    return id
  }

  /** In the order of their UTF-8 bytes. */
  keys(prefix: string): string[] {
    return [...this.objects.keys()]
      .filter((key) => key.startsWith(prefix))
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }
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
