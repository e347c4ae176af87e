/** What Thrift’s compact protocol can say, as values that keep every field, known or not, and its type. Pure. */

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
export type ThriftValue =
  | boolean
  | number
  | bigint
  | Uint8Array
  | ThriftList
  | ThriftLater
  | ThriftSeries
  | ThriftMap
  | ThriftStruct
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
/** A list whose items were taken one by one, or walked over: `readStructs` gives them then. Footers have hundreds of thousands. */
export interface ThriftLater {
  readonly of: number
  readonly count: number
  /** Where its first item begins. */
  readonly at: number
}
/** A list to be written whose items are made one by one. */
export interface ThriftSeries {
  readonly of: number
  readonly count: number
  readonly series: Iterable<ThriftValue>
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
