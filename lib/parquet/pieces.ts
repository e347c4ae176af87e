/**
 * A row group in pieces: bytes that were made, and ranges of the input that are to be copied. So a row group can be made in one place and
 * written in another, and what is copied is read only where it is written.
 */
import type { WrittenRowGroup } from './footer.ts'
import type { Sink } from './output.ts'
import type { RangeReader } from './ranges.ts'

export type Piece =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  /** Bytes `[start, end)` of the input. */
  | { readonly start: number; readonly end: number }

/** Bytes of pieces that are handed on together. */
const TOGETHER_BYTES = 1 << 20

/** Offsets begin at 0. */
export class PieceSink implements Sink {
  readonly #take: (pieces: readonly Piece[], bytes: number) => Promise<void>
  #pieces: Piece[] = []
  #bytes = 0
  position = 0

  /** @param take resolves when more may come */
  constructor(take: (pieces: readonly Piece[], bytes: number) => Promise<void>) {
    this.#take = take
  }

  async write(bytes: Uint8Array, from?: number): Promise<void> {
    if (from !== undefined) return this.#range(from, from + bytes.length)
    this.position += bytes.length
    // They are good until this returns.
    this.#pieces.push({ bytes: new Uint8Array(bytes) })
    this.#bytes += bytes.length
    if (this.#bytes >= TOGETHER_BYTES) await this.flush()
  }

  async copy(_source: RangeReader, start: number, end: number): Promise<void> {
    this.#range(start, end)
  }

  #range(start: number, end: number): void {
    this.position += end - start
    const last = this.#pieces.at(-1)
    if (last && 'end' in last && last.end === start) this.#pieces[this.#pieces.length - 1] = { start: last.start, end }
    else this.#pieces.push({ start, end })
  }

  async flush(): Promise<void> {
    const [pieces, bytes] = [this.#pieces, this.#bytes]
    this.#pieces = []
    this.#bytes = 0
    if (pieces.length > 0) await this.#take(pieces, bytes)
  }
}

/** A row group that is made elsewhere. */
export interface RemoteRowGroup {
  readonly pieces: AsyncIterable<readonly Piece[]>
  /** Offsets from its own begin. */
  readonly written: Promise<WrittenRowGroup>
}

/** Writes a row group that was made elsewhere. */
export async function writePieces(
  { pieces, written }: RemoteRowGroup,
  out: Sink,
  source: RangeReader,
): Promise<WrittenRowGroup> {
  const begin = out.position
  for await (const some of pieces)
    for (const piece of some) {
      if ('bytes' in piece) await out.write(piece.bytes)
      else await out.copy(source, piece.start, piece.end)
    }
  const { rows, chunks } = await written
  return {
    rows,
    chunks: chunks.map(({ dictionaryPageOffset, ...chunk }) => ({
      ...chunk,
      start: chunk.start + begin,
      end: chunk.end + begin,
      dataPageOffset: chunk.dataPageOffset + begin,
      ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + begin }),
    })),
  }
}
