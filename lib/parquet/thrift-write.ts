/** Writes Thrift’s compact protocol. Pure. */
import {
  T,
  type ThriftList,
  type ThriftMap,
  type ThriftSeries,
  type ThriftStruct,
  type ThriftValue,
} from './thrift-values.ts'

/** What is longer is held in blocks of this: a buffer that grew along would leave its smaller selves behind. */
const BLOCK_BYTES = 1 << 20
const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER)
/** Twice of it is exact as a number. */
const MAX_DOUBLED = 2 ** 52

/**
 * Field ids must ascend for the short form; others are written in the long one.
 * @param spare bytes behind the structure that are the caller's to fill
 */
export function writeStruct(value: ThriftStruct, spare = 0): Uint8Array {
  const full: Uint8Array[] = []
  let out = Buffer.allocUnsafe(256)
  let at = 0

  function room(n: number): void {
    if (at + n <= out.length) return
    if (at >= BLOCK_BYTES) {
      full.push(out.subarray(0, at))
      out = Buffer.allocUnsafe(Math.max(BLOCK_BYTES, n))
      at = 0
      return
    }
    const larger = Buffer.allocUnsafe(Math.max(out.length * 2, at + n))
    out.copy(larger, 0, 0, at)
    out = larger
  }
  function byte(b: number): void {
    room(1)
    out[at++] = b
  }
  function varint(value: bigint | number): void {
    let n = value
    for (; typeof n === 'bigint' && n > MAX_EXACT; n >>= 7n) byte(Number(n & 0x7fn) | 0x80)
    let rest = Number(n)
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) byte((rest % 128) | 0x80)
    byte(rest)
  }
  function zigzag(value: bigint | number): void {
    if (typeof value === 'number' && Math.abs(value) < MAX_DOUBLED) {
      varint(value < 0 ? -2 * value - 1 : 2 * value)
      return
    }
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
      const list = value as ThriftList | ThriftSeries
      const { of } = list
      const [count, items] = 'series' in list ? [list.count, list.series] : [list.items.length, list.items]
      byte((Math.min(count, 15) << 4) | of)
      if (count >= 15) varint(count)
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
  if (full.length === 0) {
    room(spare)
    return out.subarray(0, at + spare)
  }
  full.push(out.subarray(0, at))
  return Buffer.concat(
    full,
    full.reduce((sum, block) => sum + block.length, spare),
  )
}
