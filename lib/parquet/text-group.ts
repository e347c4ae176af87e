/**
 * Rows that come from elsewhere, of strings and of values of a fixed width, gathered as a row group of a Parquet file that is in memory and nowhere else: so they are planned,
 * rewritten and checked like those of any other file.
 */
import { GrowingBytes } from '../core/growing-bytes.ts'
import type { Storage, StoredObject, Version } from '../storage/storage.ts'
import { MAGIC, type WrittenChunk } from './footer.ts'
import type { ParquetFile } from './open.ts'
import type { Sink } from './output.ts'
import type { RangeReader } from './ranges.ts'
import type { LeafNode, SchemaNode } from './schema.ts'
import { TextChunk, type TextColumn, textTable } from './text-chunk.ts'
import { ValueChunk, type ValueColumn } from './value-chunk.ts'
import type { ValueTable } from './value-table.ts'

/** What will be done with a column. */
export type TextUse = 'copy' | 'replace' | 'drop'

/** A file in memory, and the storage that reads it. */
export interface HeldFile {
  readonly file: ParquetFile
  readonly storage: Storage
}

/** The leaf of a column of strings, each of which may be null. */
export function textLeaf(name: string, column: number): LeafNode {
  const levels = { maxDefinitionLevel: 1, maxRepetitionLevel: 0 }
  const type = { physical: 'BYTE_ARRAY', logical: { type: 'string' } } as const
  return { kind: 'leaf', name, path: [name], repetition: 'optional', ...type, ...levels, column }
}

export interface TextGroupOptions {
  /** @default the leaves: no column is inside of another */
  readonly root?: readonly SchemaNode[]
  readonly leaves: readonly LeafNode[]
  /** By column. */
  readonly uses: readonly TextUse[]
  /** Columns that may have a dictionary; those that are replaced come first. */
  readonly dictionaries: number
}

/** A column of a batch of rows: of strings where its leaf is one of byte arrays. */
export type HeldColumn = TextColumn | ValueColumn

type HeldChunk =
  | { readonly kind: 'text'; readonly chunk: TextChunk }
  | { readonly kind: 'value'; readonly chunk: ValueChunk }

export class TextGroup {
  readonly #options: TextGroupOptions
  readonly #tables: readonly (ValueTable | undefined)[]
  #chunks: (HeldChunk | undefined)[]
  #nulls: number[]
  /** Of the file that was taken last. */
  readonly #memory = new GrowingBytes()
  rows = 0

  constructor(options: TextGroupOptions) {
    this.#options = options
    const { leaves, uses, dictionaries } = options
    const order = leaves.map((_, i) => i).filter((i) => uses[i] !== 'drop' && isText(leaves[i] as LeafNode))
    order.sort((a, b) => Number(uses[b] === 'replace') - Number(uses[a] === 'replace') || a - b)
    const chosen = new Set(order.slice(0, dictionaries))
    this.#tables = leaves.map((_, i) => (chosen.has(i) ? textTable() : undefined))
    this.#chunks = this.#begin()
    this.#nulls = leaves.map(() => 0)
  }

  /** What its pages take. */
  get bytes(): number {
    return this.#chunks.reduce((sum, held) => sum + (held?.chunk.bytes ?? 0), 0)
  }

  /** @param columns one for each leaf, of as many rows each */
  add(rows: number, columns: readonly HeldColumn[]): void {
    this.rows += rows
    for (const [i, column] of columns.entries()) {
      const held = this.#chunks[i]
      if (held?.kind === 'text') held.chunk.add(column as TextColumn)
      else held?.chunk.add(column)
      this.#nulls[i] = (this.#nulls[i] ?? 0) + column.definition.length - column.present
    }
  }

  /**
   * The rows until now, as a file of one row group, good until the next is taken; the next rows begin another.
   * @param location for messages
   */
  async take(location: string): Promise<HeldFile> {
    const { leaves } = this.#options
    this.#memory.clear()
    this.#memory.expect(this.bytes)
    const out = new MemorySink(this.#memory)
    await out.write(MAGIC)
    const columns: WrittenChunk[] = []
    for (const [i, leaf] of leaves.entries()) {
      const held = this.#chunks[i]
      columns.push(held ? await held.chunk.finish(out) : absent(leaf, this.rows, this.#nulls[i] ?? 0, out.position))
    }
    const { bytes } = this.#memory
    const object = { location, bytes: bytes.length, version: 'held' as Version, modified: 0 }
    const groupBytes = columns.reduce((sum, { start, end }) => sum + end - start, 0)
    const rowGroups = [{ rows: this.rows, bytes: groupBytes, columns }]
    const file = { object, root: this.#options.root ?? leaves, leaves, rows: this.rows, rowGroups }
    this.rows = 0
    this.#chunks = this.#begin()
    this.#nulls = leaves.map(() => 0)
    return { file, storage: heldStorage(new Map([[location, { object, bytes }]])) }
  }

  #begin(): (HeldChunk | undefined)[] {
    const { leaves, uses } = this.#options
    return leaves.map((leaf, i) => {
      if (uses[i] === 'drop') return undefined
      const copied = uses[i] === 'copy'
      if (!isText(leaf)) return { kind: 'value', chunk: new ValueChunk(leaf) }
      return { kind: 'text', chunk: new TextChunk(leaf, copied ? 'zstd' : 'snappy', this.#tables[i], copied) }
    })
  }
}

function isText({ physical }: LeafNode): boolean {
  return physical === 'BYTE_ARRAY'
}

/** Of a column that nobody will read. */
function absent(leaf: LeafNode, rows: number, nulls: number, at: number): WrittenChunk {
  const place = { start: at, end: at, dataPageOffset: at, uncompressedBytes: 0 }
  return { leaf, codec: 'none', encodings: [], values: rows, ...place, statistics: { nulls } }
}

/** Bytes that are written into memory. */
class MemorySink implements Sink {
  readonly #memory: GrowingBytes

  constructor(memory: GrowingBytes) {
    this.#memory = memory
  }

  get position(): number {
    return this.#memory.length
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#memory.append(bytes)
  }

  async copy(source: RangeReader, start: number, end: number): Promise<void> {
    await this.write(await source.read(start, end))
  }
}

/** Objects that are in memory, read where they are. */
export function heldStorage(
  objects: ReadonlyMap<string, { readonly object: StoredObject; readonly bytes: Uint8Array }>,
): Storage {
  const found = (location: string) => {
    const held = objects.get(location)
    if (!held) throw new Error('an object that is not held')
    return held
  }
  const refused = (): never => {
    throw new Error('what is held is only read')
  }
  return {
    stat: async (location) => found(location).object,
    read: async (location, { start = 0, end } = {}) => found(location).bytes.subarray(start, end),
    inMemory: ({ location }) => found(location).bytes,
    create: refused,
    replace: refused,
    write: refused,
    list: refused,
    delete: refused,
  }
}
