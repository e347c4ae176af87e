/**
 * Thrift's compact protocol: reading and writing in thrift-read.ts and thrift-write.ts, here the fields of a structure. Pure; no I/O.
 * (apache/thrift, doc/specs/thrift-compact-protocol.md.)
 */
import {
  T,
  type ThriftField,
  ThriftInvalid,
  type ThriftLater,
  type ThriftList,
  type ThriftStruct,
  type ThriftValue,
} from './thrift-values.ts'

export { readStruct, readStructs, type TakeList } from './thrift-read.ts'
export * from './thrift-values.ts'
export { writeStruct } from './thrift-write.ts'

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
  i64: (value: number | bigint): ThriftField => ({ type: T.I64, value }),
  bytes: (value: Uint8Array): ThriftField => ({ type: T.BINARY, value }),
  text: (value: string): ThriftField => ({ type: T.BINARY, value: Buffer.from(value, 'utf8') }),
  struct: (fields: Readonly<Record<number, ThriftField | undefined>>): ThriftField => ({
    type: T.STRUCT,
    value: struct(fields),
  }),
  structs: (items: readonly ThriftStruct[]): ThriftField => ({ type: T.LIST, value: { of: T.STRUCT, items } }),
  /** Each is made when it is written. */
  series: <V>(of: readonly V[], make: (item: V, index: number) => ThriftStruct): ThriftField => ({
    type: T.LIST,
    value: { of: T.STRUCT, count: of.length, series: mapped(of, make) },
  }),
  i32s: (items: readonly number[]): ThriftField => ({ type: T.LIST, value: { of: T.I32, items } }),
  texts: (items: readonly string[]): ThriftField => ({
    type: T.LIST,
    value: { of: T.BINARY, items: items.map((s) => Buffer.from(s, 'utf8')) },
  }),
}

function* mapped<V, W>(of: readonly V[], make: (item: V, index: number) => W): Generator<W> {
  for (const [i, item] of of.entries()) yield make(item, i)
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
  /** Of a structure that was read with this field left for later. */
  later: (s: ThriftStruct, id: number) => field(s, id, [T.LIST]) as ThriftLater | undefined,
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
