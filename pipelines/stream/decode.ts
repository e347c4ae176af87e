/** Records to columns: JSON objects as the cells of a row group, or the reason why one is bad. No I/O. */
import { isUtf8 } from 'node:buffer'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { plainWidth } from '../../lib/parquet/plain.ts'
import { type LeafNode, pathKey } from '../../lib/parquet/schema.ts'
import type { HeldColumn } from '../../lib/parquet/text-group.ts'
import { Cells } from './cells.ts'
import { Numeral, parseExactly } from './json.ts'
import { nodesOf, type RecordField, type RecordType } from './schema.ts'
import { BadRecord, NEEDS_SOURCE, type Put, putterOf } from './values.ts'

export interface DecoderOptions {
  /** Of the objects; what else they have is a new field. */
  readonly fields: readonly RecordField[]
  /** Whether a leaf is to be pseudonymized, by `pathKey` of its node. */
  readonly sensitive: ReadonlySet<string>
  /** Fields whose values are taken for null, whatever they are. @default none */
  readonly nulls?: ReadonlySet<string>
  /** Whether the service refuses a text of a sensitive leaf, by `pathKey` of its node. @default nobody has looked */
  readonly refuses?: (path: string, text: string) => boolean
  /** Columns that say where a row comes from, behind the others. */
  readonly from: readonly { readonly name: string; readonly what: RecordOrigin }[]
  /** Told of each name that is in no field, once. @default nobody looks */
  readonly onNewField?: (name: string, value: unknown) => void
}

export type RecordOrigin = 'arrival-time' | 'shard' | 'sequence-number'

/** What the table's columns about a row's origin are. */
export const ORIGIN_TYPES: Readonly<Record<RecordOrigin, string>> = {
  'arrival-time': 'timestamptz',
  shard: 'string',
  'sequence-number': 'string',
}

/** Names of new fields that are remembered. */
const MOST_TOLD = 1000

type Write = (value: unknown, definition: number, repetition: number) => void

export class RecordDecoder {
  readonly root: ReturnType<typeof nodesOf>['root']
  readonly leaves: readonly LeafNode[]
  /** Records that were taken since the last `take`. */
  rows = 0
  readonly #cells: readonly Cells[]
  readonly #members: readonly {
    readonly name: string
    readonly write: Write
    readonly odd: boolean
    readonly isNull: boolean
  }[]
  readonly #known: ReadonlySet<string>
  readonly #told = new Set<string>()
  readonly #origins: readonly ((record: StreamRecord) => void)[]
  readonly #onNewField: DecoderOptions['onNewField']
  /** Once a record needed the text of its numbers, the next ones do too. */
  #exactly = false

  constructor({ fields, sensitive, from, onNewField, nulls, refuses }: DecoderOptions) {
    const origins = from.map(
      ({ name, what }): RecordField => ({ name, type: { kind: 'leaf', type: ORIGIN_TYPES[what] } }),
    )
    const { root, leaves } = nodesOf([...fields, ...origins])
    this.root = root
    this.leaves = leaves
    this.#cells = leaves.map((leaf) => new Cells(plainWidth(leaf), leaf.maxRepetitionLevel > 0))
    this.#onNewField = onNewField
    this.#known = new Set(fields.map(({ name }) => name))
    let next = 0
    const leafOf = () => {
      const i = next++
      return { leaf: leaves[i] as LeafNode, cells: this.#cells[i] as Cells }
    }
    this.#members = fields.map(({ name, type }) => ({
      name,
      write: writerOf(type, name, 0, 0, leafOf, { sensitive, refuses }),
      odd: name in Object.prototype || nulls?.has(name) === true,
      isNull: nulls?.has(name) === true,
    }))
    this.#origins = from.map(({ what }) => originOf(what, leafOf().cells))
  }

  /** Bytes of the cells that are held. */
  get bytes(): number {
    let bytes = 0
    for (const cells of this.#cells) bytes += cells.bytes
    return bytes
  }

  /**
   * Takes a record's row.
   * @returns what was parsed, for who looks at more of it
   * @throws BadRecord and then there is no row of it
   */
  add(record: StreamRecord): Readonly<Record<string, unknown>> {
    const text = textOf(record.data)
    let parsed = parse(text, this.#exactly)
    try {
      this.#row(parsed, record)
    } catch (error) {
      if (error !== NEEDS_SOURCE) throw error
      this.#exactly = true
      parsed = parse(text, true)
      this.#row(parsed, record)
    }
    this.rows++
    return parsed
  }

  /** Takes the last record's row back. */
  undo(): void {
    for (const cells of this.#cells) cells.undo()
    this.rows--
  }

  /** The rows until now, by leaf, good until the next `add`. */
  take(): { readonly rows: number; readonly columns: readonly HeldColumn[] } {
    const { rows } = this
    this.rows = 0
    return { rows, columns: this.#cells.map((cells) => cells.take()) }
  }

  #row(parsed: Readonly<Record<string, unknown>>, record: StreamRecord): void {
    for (const cells of this.#cells) cells.begin()
    try {
      for (const { name, write, odd, isNull } of this.#members)
        write(odd && (isNull || !Object.hasOwn(parsed, name)) ? undefined : parsed[name], 0, 0)
      for (const write of this.#origins) write(record)
      if (this.#onNewField) this.#look(parsed, this.#onNewField)
    } catch (error) {
      for (const cells of this.#cells) cells.undo()
      throw error
    }
  }

  #look(parsed: Readonly<Record<string, unknown>>, tell: NonNullable<DecoderOptions['onNewField']>): void {
    for (const name in parsed) {
      if (this.#known.has(name) || this.#told.has(name)) continue
      // Of a null nobody knows what it will be. Names may be as many as values: keys of a map.
      if (parsed[name] === null || this.#told.size === MOST_TOLD) continue
      tell(name, parsed[name])
      this.#told.add(name)
    }
  }
}

/** A backslash and a u: only so a text that is UTF-8 can come to half of a surrogate pair. */
const ESCAPE = '\\u'

function textOf(data: Uint8Array): string {
  if (!isUtf8(data)) throw new BadRecord('not-utf8')
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')
}

/** @throws BadRecord */
export function parse(text: string, exactly: boolean): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = exactly ? parseExactly(text) : JSON.parse(text)
  } catch {
    throw new BadRecord('not-json')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new BadRecord('not-an-object')
  if (text.includes(ESCAPE) && !isWellFormed(parsed)) throw new BadRecord('lone-surrogate')
  return parsed as Readonly<Record<string, unknown>>
}

/** A record's fields, numbers with their source. @throws BadRecord */
export function parseRecord(data: Uint8Array): Readonly<Record<string, unknown>> {
  return parse(textOf(data), true)
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member))
}

type Sensitive = Pick<DecoderOptions, 'sensitive'> & { readonly refuses: DecoderOptions['refuses'] }

type LeafOf = () => { readonly leaf: LeafNode; readonly cells: Cells }

/**
 * What writes a value of a type into the cells of its leaves.
 * @param depth definition level of what is around it @param repeated repetition level of it
 */
function writerOf(
  type: RecordType,
  name: string,
  depth: number,
  repeated: number,
  leafOf: LeafOf,
  what: Sensitive,
): Write {
  if (type.kind === 'leaf') {
    const { leaf, cells } = leafOf()
    const { sensitive, refuses } = what
    const path = pathKey(leaf.path)
    const put: Put = putterOf(type.type, leaf, sensitive.has(path), name, refuses && ((text) => refuses(path, text)))
    const there = depth + 1
    return (value, definition, repetition) => {
      if (value === null || value === undefined) cells.none(definition, repetition)
      else put(cells, value, there, repetition)
    }
  }
  if (type.kind === 'struct') {
    const members = type.fields.map((field) => ({
      name: field.name,
      write: writerOf(field.type, `${name}.${field.name}`, depth + 1, repeated, leafOf, what),
    }))
    return (value, definition, repetition) => {
      if (value === null || value === undefined) {
        for (const { write } of members) write(undefined, definition, repetition)
        return
      }
      if (!isObject(value)) throw new BadRecord('wrong-type', name)
      for (const member of members)
        member.write(Object.hasOwn(value, member.name) ? value[member.name] : undefined, depth + 1, repetition)
    }
  }
  const write = writerOf(type.element, `${name}.element`, depth + 2, repeated + 1, leafOf, what)
  return (value, definition, repetition) => {
    if (value === null || value === undefined) return write(undefined, definition, repetition)
    if (!Array.isArray(value)) throw new BadRecord('wrong-type', name)
    if (value.length === 0) return write(undefined, depth + 1, repetition)
    for (const [i, one] of value.entries()) write(one, depth + 2, i === 0 ? repetition : repeated + 1)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Numeral)
}

function originOf(what: RecordOrigin, cells: Cells): (record: StreamRecord) => void {
  switch (what) {
    case 'arrival-time':
      return ({ arrivalMs }) => cells.long(BigInt(Math.round(arrivalMs * 1000)), 1, 0)
    case 'shard':
      return ({ shard }) => void cells.text(shard, 1, 0)
    case 'sequence-number':
      return ({ sequence, sub }) => void cells.text(sub === 0 ? sequence : `${sequence}.${sub}`, 1, 0)
  }
}
