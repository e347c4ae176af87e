/**
 * Thrift's compact protocol, as values that keep every field, known or not, and its type. Pure; no I/O.
 * (apache/thrift, doc/specs/thrift-compact-protocol.md.)
 *
 * Reads what may be garbage: nothing is allocated for more elements than there are bytes left, and nesting is bounded.
 */

export const T = {
  TRUE: 1,
  FALSE: 2,
  BYTE: 3,
  I16: 4,
  I32: 5,
  I64: 6,
  DOUBLE: 7,
  BINARY: 8,
  LIST: 9,
  SET: 10,
  MAP: 11,
  STRUCT: 12,
} as const

/** A double is kept as its eight bytes: a NaN's payload would not survive a number. */
export type ThriftValue = boolean | number | bigint | Uint8Array | ThriftList | ThriftMap | ThriftStruct
export interface ThriftField {
  readonly type: number
  readonly value: ThriftValue
}
/** By field id, in the order in which they were written. */
export type ThriftStruct = ReadonlyMap<number, ThriftField>
export interface ThriftList {
  readonly of: number
  readonly items: readonly ThriftValue[]
}
export interface ThriftMap {
  readonly key: number
  readonly value: number
  readonly entries: readonly (readonly [ThriftValue, ThriftValue])[]
}

/** The bytes end inside the structure: more of them may help, where they are a window on a longer run. */
export class ThriftEnd extends Error {}
/** The bytes are no Thrift, or a field has another type than the caller expects. */
export class ThriftInvalid extends Error {}

const MAX_DEPTH = 32

/** @throws ThriftEnd, ThriftInvalid */
export function readStruct(bytes: Uint8Array, start = 0): { value: ThriftStruct; end: number } {
  let at = start

  function byte(): number {
    const b = bytes[at++]
    if (b === undefined) throw new ThriftEnd('ends inside a structure')
    return b
  }

  function varint(): bigint {
    let low = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const b = byte()
      low |= (b & 0x7f) << shift
      if (b < 0x80) return BigInt(low)
    }
    let value = BigInt(low)
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const b = byte()
      value |= BigInt(b & 0x7f) << shift
      if (b < 0x80) return value
    }
    throw new ThriftInvalid('a varint of more than ten bytes')
  }

  function zigzag(): bigint {
    const n = varint()
    return BigInt.asIntN(64, (n >> 1n) ^ -(n & 1n))
  }

  function size(): number {
    const n = varint()
    if (n > BigInt(bytes.length - at)) throw new ThriftEnd('a length beyond the end')
    return Number(n)
  }

  function read(type: number, depth: number): ThriftValue {
    if (depth > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    switch (type) {
      case T.BYTE:
        return (byte() << 24) >> 24
      case T.I16:
      case T.I32: {
        const n = zigzag()
        if (BigInt.asIntN(32, n) !== n) throw new ThriftInvalid('an integer out of its range')
        return Number(n)
      }
      case T.I64:
        return zigzag()
      case T.DOUBLE:
        return take(8)
      case T.BINARY:
        return take(size())
      case T.LIST:
      case T.SET: {
        const head = byte()
        const count = head >> 4 === 15 ? size() : head >> 4
        const of = head & 15
        if (count > bytes.length - at) throw new ThriftEnd('a list beyond the end')
        const items: ThriftValue[] = []
        for (let i = 0; i < count; i++) items.push(element(of, depth + 1))
        return { of, items }
      }
      case T.MAP: {
        const count = size()
        if (count === 0) return { key: 0, value: 0, entries: [] }
        const types = byte()
        const entries: [ThriftValue, ThriftValue][] = []
        for (let i = 0; i < count; i++) entries.push([element(types >> 4, depth + 1), element(types & 15, depth + 1)])
        return { key: types >> 4, value: types & 15, entries }
      }
      case T.STRUCT:
        return struct(depth + 1)
      default:
        throw new ThriftInvalid(`unknown type ${type}`)
    }
  }

  /** Inside containers a boolean is a byte of its own; in a field its value is the type. */
  function element(type: number, depth: number): ThriftValue {
    return type === T.TRUE || type === T.FALSE ? byte() === T.TRUE : read(type, depth)
  }

  function take(length: number): Uint8Array {
    if (at + length > bytes.length) throw new ThriftEnd('ends inside a value')
    at += length
    return bytes.subarray(at - length, at)
  }

  function struct(depth: number): ThriftStruct {
    if (depth > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    const fields = new Map<number, ThriftField>()
    for (let id = 0; ; ) {
      const head = byte()
      if (head === 0) return fields
      const type = head & 15
      id = head >> 4 ? id + (head >> 4) : Number(zigzag())
      if (!Number.isInteger(id) || id < -32768 || id > 32767) throw new ThriftInvalid('a field id out of range')
      if (fields.has(id)) throw new ThriftInvalid(`field ${id} twice`)
      const value = type === T.TRUE || type === T.FALSE ? type === T.TRUE : read(type, depth)
      fields.set(id, { type, value })
    }
  }

  const value = struct(0)
  return { value, end: at }
}

/** Field ids must ascend for the short form; others are written in the long one. */
export function writeStruct(value: ThriftStruct): Uint8Array {
  let out = Buffer.allocUnsafe(256)
  let at = 0

  function room(n: number): void {
    if (at + n <= out.length) return
    const larger = Buffer.allocUnsafe(Math.max(out.length * 2, at + n))
    out.copy(larger, 0, 0, at)
    out = larger
  }
  function byte(b: number): void {
    room(1)
    out[at++] = b
  }
  function varint(value: bigint | number): void {
    let n = BigInt(value)
    for (; n >= 0x80n; n >>= 7n) byte(Number(n & 0x7fn) | 0x80)
    byte(Number(n))
  }
  function zigzag(value: bigint | number): void {
    const n = BigInt(value)
    varint(n < 0n ? -2n * n - 1n : 2n * n)
  }
  function raw(value: Uint8Array): void {
    room(value.length)
    out.set(value, at)
    at += value.length
  }

  function element(type: number, value: ThriftValue): void {
    if (type === T.TRUE || type === T.FALSE) byte(value ? T.TRUE : T.FALSE)
    else write(type, value)
  }

  function write(type: number, value: ThriftValue): void {
    if (type === T.BYTE) byte((value as number) & 0xff)
    else if (type === T.I16 || type === T.I32 || type === T.I64) zigzag(value as number | bigint)
    else if (type === T.DOUBLE) raw(value as Uint8Array)
    else if (type === T.BINARY) {
      varint((value as Uint8Array).length)
      raw(value as Uint8Array)
    } else if (type === T.LIST || type === T.SET) {
      const { of, items } = value as ThriftList
      byte((Math.min(items.length, 15) << 4) | of)
      if (items.length >= 15) varint(items.length)
      for (const item of items) element(of, item)
    } else if (type === T.MAP) {
      const map = value as ThriftMap
      varint(map.entries.length)
      if (map.entries.length > 0) byte((map.key << 4) | map.value)
      for (const [k, v] of map.entries) {
        element(map.key, k)
        element(map.value, v)
      }
    } else struct(value as ThriftStruct)
  }

  function struct(fields: ThriftStruct): void {
    let last = 0
    for (const [id, { type, value }] of fields) {
      const code = type === T.TRUE || type === T.FALSE ? (value ? T.TRUE : T.FALSE) : type
      if (id > last && id - last <= 15) byte(((id - last) << 4) | code)
      else {
        byte(code)
        zigzag(id)
      }
      last = id
      if (type !== T.TRUE && type !== T.FALSE) write(type, value)
    }
    byte(0)
  }

  struct(value)
  return out.subarray(0, at)
}

/** Fields by id; the ones without a value are left out. Integer keys of an object iterate in ascending order, as the short form needs. */
export function struct(fields: Readonly<Record<number, ThriftField | undefined>>): ThriftStruct {
  const present = new Map<number, ThriftField>()
  for (const [id, field] of Object.entries(fields)) if (field !== undefined) present.set(Number(id), field)
  return present
}

/** Makes fields; a missing value makes no field. */
export const put = {
  bool: (value: boolean): ThriftField => ({ type: T.TRUE, value }),
  i8: (value: number): ThriftField => ({ type: T.BYTE, value }),
  i32: (value: number): ThriftField => ({ type: T.I32, value }),
  i64: (value: number | bigint): ThriftField => ({ type: T.I64, value: BigInt(value) }),
  bytes: (value: Uint8Array): ThriftField => ({ type: T.BINARY, value }),
  text: (value: string): ThriftField => ({ type: T.BINARY, value: Buffer.from(value, 'utf8') }),
  struct: (fields: Readonly<Record<number, ThriftField | undefined>>): ThriftField => ({
    type: T.STRUCT,
    value: struct(fields),
  }),
  structs: (items: readonly ThriftStruct[]): ThriftField => ({ type: T.LIST, value: { of: T.STRUCT, items } }),
  i32s: (items: readonly number[]): ThriftField => ({ type: T.LIST, value: { of: T.I32, items } }),
  texts: (items: readonly string[]): ThriftField => ({
    type: T.LIST,
    value: { of: T.BINARY, items: items.map((s) => Buffer.from(s, 'utf8')) },
  }),
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads fields; undefined where there is none. @throws ThriftInvalid where the field has another type. */
export const get = {
  bool: (s: ThriftStruct, id: number) => field(s, id, [T.TRUE, T.FALSE]) as boolean | undefined,
  i32: (s: ThriftStruct, id: number) => field(s, id, [T.BYTE, T.I16, T.I32]) as number | undefined,
  /** A count, size or offset: never negative, and exact as a number. */
  count(s: ThriftStruct, id: number): number | undefined {
    const value = field(s, id, [T.I16, T.I32, T.I64])
    if (value === undefined) return undefined
    const n = Number(value as number | bigint)
    if (n < 0 || !Number.isSafeInteger(n)) throw new ThriftInvalid(`field ${id} is negative or too large`)
    return n
  },
  bytes: (s: ThriftStruct, id: number) => field(s, id, [T.BINARY]) as Uint8Array | undefined,
  text(s: ThriftStruct, id: number): string | undefined {
    const value = field(s, id, [T.BINARY])
    return value === undefined ? undefined : text(value)
  },
  struct: (s: ThriftStruct, id: number) => field(s, id, [T.STRUCT]) as ThriftStruct | undefined,
  structs: (s: ThriftStruct, id: number) => list(s, id, T.STRUCT) as readonly ThriftStruct[] | undefined,
  i32s: (s: ThriftStruct, id: number) => list(s, id, T.I32) as readonly number[] | undefined,
  texts: (s: ThriftStruct, id: number) => list(s, id, T.BINARY)?.map(text),
}

/** @throws ThriftInvalid where `value` is missing */
export function need<V>(value: V | undefined, what: string): V {
  if (value === undefined) throw new ThriftInvalid(`${what} is missing`)
  return value
}

function text(value: ThriftValue): string {
  try {
    return utf8.decode(value as Uint8Array)
  } catch {
    throw new ThriftInvalid('a name that is not UTF-8')
  }
}

function field(s: ThriftStruct, id: number, types: readonly number[]): ThriftValue | undefined {
  const found = s.get(id)
  if (found === undefined) return undefined
  if (!types.includes(found.type)) throw new ThriftInvalid(`field ${id} has type ${found.type}`)
  return found.value
}

function list(s: ThriftStruct, id: number, of: number): readonly ThriftValue[] | undefined {
  const value = field(s, id, [T.LIST, T.SET]) as ThriftList | undefined
  if (value === undefined || value.items.length === 0) return value && []
  if (value.of !== of) throw new ThriftInvalid(`list ${id} has elements of type ${value.of}`)
  return value.items
}
