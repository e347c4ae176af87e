/**
 * Reads Thrift that may be garbage: nothing is allocated for more elements than there are bytes left, and nesting is bounded. Pure.
 */
import {
  T,
  ThriftEnd,
  type ThriftField,
  ThriftInvalid,
  type ThriftLater,
  type ThriftStruct,
  type ThriftValue,
} from './thrift-values.ts'

const MAX_DEPTH = 32

/**
 * Takes the structures of a list one by one, while the structure that it is a field of is read: as a tree, long ones would not fit in memory.
 * @param next the next of `count`; all are to be taken
 * @param before fields in front of the list
 * @returns false, and has taken none, where it can't yet: they are walked over, and `readStructs` gives them
 */
export type TakeList = (count: number, next: (lists?: Lists) => ThriftStruct, before: ThriftStruct) => boolean

/** By the id of the field whose list they take. */
export type Lists = Readonly<Record<number, TakeList | undefined>>

/** @throws ThriftEnd, ThriftInvalid */
export function readStruct(
  bytes: Uint8Array,
  start = 0,
  lists: Lists = NO_LISTS,
): { value: ThriftStruct; end: number } {
  const reader = new Reader(bytes, start)
  const value = reader.struct(0, lists)
  return { value, end: reader.at }
}

/** Structures of a list that was walked over. @throws ThriftEnd, ThriftInvalid */
export function readStructs(bytes: Uint8Array, { of, count, at }: ThriftLater, take: TakeList): void {
  const reader = new Reader(bytes, at)
  take(count, (lists) => reader.element(of, 1, lists), new Map())
}

const NO_LISTS: Lists = {}

/** Seven bits in each of seven bytes are exact as a number. */
const EXACT_BYTES = 7

/** Zigzag: the sign is the last bit. */
function signed(n: number): number {
  return n % 2 === 0 ? n / 2 : -(n + 1) / 2
}

class Reader {
  readonly #bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  #byte(): number {
    const b = this.#bytes[this.at++]
    if (b === undefined) throw new ThriftEnd('ends inside a structure')
    return b
  }

  #varint(): number | bigint {
    // Most are of one byte.
    const first = this.#bytes[this.at] as number
    if (first < 0x80) {
      this.at++
      return first
    }
    let low = 0
    for (let n = 0, scale = 1; n < EXACT_BYTES; n++, scale *= 128) {
      const b = this.#byte()
      low += (b & 0x7f) * scale
      if (b < 0x80) return low
    }
    let value = BigInt(low)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const b = this.#byte()
      value |= BigInt(b & 0x7f) << shift
      if (b < 0x80) return value
    }
    throw new ThriftInvalid('a varint of more than ten bytes')
  }

  #int(): number {
    const n = this.#varint()
    if (typeof n === 'bigint' || n > 0xffffffff) throw new ThriftInvalid('an integer out of its range')
    return signed(n)
  }

  #long(): number | bigint {
    const n = this.#varint()
    if (typeof n === 'number') return signed(n)
    return BigInt.asIntN(64, (n >> 1n) ^ -(n & 1n))
  }

  #size(): number {
    const n = this.#varint()
    if (n > this.#bytes.length - this.at) throw new ThriftEnd('a length beyond the end')
    return Number(n)
  }

  #pass(length: number): void {
    if (this.at + length > this.#bytes.length) throw new ThriftEnd('ends inside a value')
    this.at += length
  }

  #take(length: number): Uint8Array {
    this.#pass(length)
    return this.#bytes.subarray(this.at - length, this.at)
  }

  #listHead(): { of: number; count: number } {
    const head = this.#byte()
    const count = head >> 4 === 15 ? this.#size() : head >> 4
    if (count > this.#bytes.length - this.at) throw new ThriftEnd('a list beyond the end')
    return { of: head & 15, count }
  }

  #read(type: number, depth: number): ThriftValue {
    if (depth > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    switch (type) {
      case T.BYTE:
        return (this.#byte() << 24) >> 24
      case T.I16:
      case T.I32:
        return this.#int()
      case T.I64:
        return this.#long()
      case T.DOUBLE:
        return this.#take(8)
      case T.BINARY:
        return this.#take(this.#size())
      case T.LIST:
      case T.SET: {
        const { of, count } = this.#listHead()
        const items: ThriftValue[] = []
        for (let i = 0; i < count; i++) items.push(this.#element(of, depth + 1))
        return { of, items }
      }
      case T.MAP: {
        const count = this.#size()
        if (count === 0) return { key: 0, value: 0, entries: [] }
        const types = this.#byte()
        const entries: [ThriftValue, ThriftValue][] = []
        for (let i = 0; i < count; i++)
          entries.push([this.#element(types >> 4, depth + 1), this.#element(types & 15, depth + 1)])
        return { key: types >> 4, value: types & 15, entries }
      }
      case T.STRUCT:
        return this.struct(depth + 1)
      default:
        throw new ThriftInvalid(`unknown type ${type}`)
    }
  }

  /** Inside containers a boolean is a byte of its own; in a field its value is the type. */
  #element(type: number, depth: number): ThriftValue {
    return type === T.TRUE || type === T.FALSE ? this.#byte() === T.TRUE : this.#read(type, depth)
  }

  /** @throws ThriftInvalid where it is no structure */
  element(type: number, depth: number, lists?: Lists): ThriftStruct {
    if (type !== T.STRUCT) throw new ThriftInvalid(`a list has elements of type ${type}`)
    return this.struct(depth, lists)
  }

  struct(depth: number, lists = NO_LISTS): ThriftStruct {
    if (depth > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    const fields = new Map<number, ThriftField>()
    for (let id = 0, highest = 0; ; ) {
      const head = this.#byte()
      if (head === 0) return fields
      const type = head & 15
      const step = head >> 4
      id = step > 0 ? id + step : this.#int()
      if (id < -32768 || id > 32767) throw new ThriftInvalid('a field id out of range')
      if (id > highest) highest = id
      else if (fields.has(id)) throw new ThriftInvalid(`field ${id} twice`)
      const take = lists[id]
      let value: ThriftValue
      if (type === T.TRUE || type === T.FALSE) value = type === T.TRUE
      else if (take && type === T.LIST) value = this.#list(take, depth, fields)
      else value = this.#read(type, depth)
      fields.set(id, { type, value })
    }
  }

  #list(take: TakeList, depth: number, before: ThriftStruct): ThriftLater {
    const { of, count } = this.#listHead()
    const { at } = this
    if (!take(count, (lists) => this.element(of, depth + 1, lists), before)) this.#skip(of, count, depth + 1)
    return { of, count, at }
  }

  /**
   * Walks over elements of a list. One loop with a stack of its own: functions that call each other for it kept V8's compilers longer at work
   * than all footers of a run.
   */
  #skip(of: number, count: number, depth: number): void {
    const bytes = this.#bytes
    // Of what is open: the type of a list's elements, and how many of them are left; less than none of a structure.
    const types = [of]
    const left = [count]
    for (let open = 0; open >= 0; ) {
      let type = types[open] as number
      const rest = left[open] as number
      if (rest < 0) {
        const head = this.#byte()
        if (head === 0) {
          open--
          continue
        }
        if (head < 16) this.#varint()
        type = head & 15
        if (type === T.TRUE || type === T.FALSE) continue
      } else {
        if (rest === 0) {
          open--
          continue
        }
        left[open] = rest - 1
      }
      switch (type) {
        case T.TRUE:
        case T.FALSE:
        case T.BYTE:
          this.#pass(1)
          continue
        case T.I16:
        case T.I32:
        case T.I64:
          // Most are of a byte or two; one that is too long is found out where it is read.
          while ((bytes[this.at] as number) >= 0x80) this.at++
          this.#byte()
          continue
        case T.DOUBLE:
          this.#pass(8)
          continue
        case T.BINARY:
          this.#pass(this.#size())
          continue
        case T.LIST:
        case T.SET: {
          const list = this.#listHead()
          open++
          types[open] = list.of
          left[open] = list.count
          break
        }
        case T.STRUCT:
          open++
          types[open] = 0
          left[open] = -1
          break
        default:
          this.#read(type, depth + open)
          continue
      }
      if (depth + open > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    }
  }
}
