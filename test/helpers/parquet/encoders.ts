/**
 * Encodings and codecs as a test writes them: straight from parquet-format's Encodings.md, with as many forms of each as it allows, and
 * without a line of the product.
 */
import zlib from 'node:zlib'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import type { Random } from './random.ts'

/** In the order of the format's enum. */
export const CODEC = ['none', 'snappy', 'gzip', 'lzo', 'brotli', 'lz4', 'zstd', 'lz4_raw'] as const
export type TestCodec = Exclude<(typeof CODEC)[number], 'lzo'>

export const ENC = {
  PLAIN: 0,
  PLAIN_DICTIONARY: 2,
  RLE: 3,
  BIT_PACKED: 4,
  DELTA_BINARY_PACKED: 5,
  DELTA_LENGTH_BYTE_ARRAY: 6,
  DELTA_BYTE_ARRAY: 7,
  RLE_DICTIONARY: 8,
  BYTE_STREAM_SPLIT: 9,
} as const

export const PHYSICAL = [
  'BOOLEAN',
  'INT32',
  'INT64',
  'INT96',
  'FLOAT',
  'DOUBLE',
  'BYTE_ARRAY',
  'FIXED_LEN_BYTE_ARRAY',
] as const
export type Physical = (typeof PHYSICAL)[number]
/** A value as its physical type has it. */
export type Raw = boolean | number | bigint | Uint8Array

export function varint(value: bigint | number): number[] {
  const out: number[] = []
  let rest = BigInt(value)
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80)
  out.push(Number(rest))
  return out
}

const zigzag = (value: bigint) => varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)))

function pack(values: readonly bigint[], width: number): number[] {
  let all = 0n
  for (const [i, value] of values.entries()) all |= value << BigInt(i * width)
  const bytes = Math.ceil((values.length * width) / 8)
  return Array.from({ length: bytes }, (_, i) => Number((all >> BigInt(8 * i)) & 0xffn))
}

/** RLE / bit-packing hybrid, cut into runs of either kind wherever chance has it. */
export function hybrid(values: readonly number[], width: number, random: Random): Uint8Array {
  const out: number[] = []
  let at = 0
  while (at < values.length) {
    const value = values[at] as number
    let same = 1
    while (at + same < values.length && values[at + same] === value) same++
    if (random.once(2) || values.length - at < 8) {
      const length = random.once(4) ? random.between(1, same) : same
      const bytes = Array.from({ length: (width + 7) >> 3 }, (_, i) => (value >>> (8 * i)) & 0xff)
      out.push(...varint(length * 2), ...bytes)
      at += length
    } else {
      // Only the last group may be padded.
      const groups = random.between(1, Math.min(4, Math.floor((values.length - at) / 8)))
      const left = values.length - at - groups * 8
      const last = left > 0 && left < 8 && random.once(2)
      const count = (groups + (last ? 1 : 0)) * 8
      const packed = Array.from({ length: count }, (_, i) => BigInt(values[at + i] ?? 0))
      out.push(...varint((count / 8) * 2 + 1), ...pack(packed, width))
      at += count
    }
  }
  return Uint8Array.from(out)
}

export function plain(values: readonly Raw[], physical: Physical): Uint8Array {
  if (physical === 'BOOLEAN')
    return Uint8Array.from(
      pack(
        values.map((value) => (value ? 1n : 0n)),
        1,
      ),
    )
  return Buffer.concat(
    values.map((value) => (physical === 'BYTE_ARRAY' ? prefixed(value as Uint8Array) : fixed(value, physical))),
  )
}

function prefixed(value: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(value.length)
  return Buffer.concat([length, value])
}

function fixed(value: Raw, physical: Physical): Uint8Array {
  if (value instanceof Uint8Array) return value
  const out = Buffer.alloc(physical === 'INT32' || physical === 'FLOAT' ? 4 : 8)
  if (physical === 'INT32') out.writeInt32LE(value as number)
  else if (physical === 'INT64') out.writeBigInt64LE(value as bigint)
  else if (physical === 'FLOAT') out.writeFloatLE(value as number)
  else out.writeDoubleLE(value as number)
  return out
}

/** DELTA_BINARY_PACKED; differences wrap in the width of the type, as the format says. */
export function deltas(values: readonly (number | bigint)[], bits: 32 | 64, random: Random): Uint8Array {
  const [block, minis] = random.pick([
    [128, 4],
    [128, 1],
    [256, 2],
    [256, 8],
  ] as const)
  const wide = values.map(BigInt)
  const out = [...varint(block), ...varint(minis), ...varint(wide.length), ...zigzag(wide[0] ?? 0n)]
  const differences = wide.slice(1).map((value, i) => BigInt.asIntN(bits, value - (wide[i] as bigint)))
  for (let at = 0; at < differences.length; at += block) {
    const here = differences.slice(at, at + block)
    const least = here.reduce((a, b) => (b < a ? b : a))
    out.push(...zigzag(least))
    const size = block / minis
    const rests = here.map((value) => BigInt.asUintN(bits, value - least))
    const widths: number[] = []
    const bodies: number[] = []
    for (let m = 0; m < minis; m++) {
      const mini = rests.slice(m * size, (m + 1) * size)
      // A miniblock without values has no body; its width says nothing.
      const width =
        mini.length === 0
          ? random.pick([0, 7])
          : mini
              .reduce((a, b) => (b > a ? b : a))
              .toString(2)
              .replace(/^0$/, '').length
      widths.push(width)
      if (mini.length > 0) bodies.push(...pack([...mini, ...Array<bigint>(size - mini.length).fill(0n)], width))
    }
    out.push(...widths, ...bodies)
  }
  return Uint8Array.from(out)
}

export function deltaLengths(values: readonly Uint8Array[], random: Random): Uint8Array {
  return Buffer.concat([
    deltas(
      values.map((value) => value.length),
      32,
      random,
    ),
    ...values,
  ])
}

export function deltaBytes(values: readonly Uint8Array[], random: Random): Uint8Array {
  const prefixes = values.map((value, i) => {
    const before = values[i - 1] ?? new Uint8Array(0)
    let shared = 0
    while (shared < value.length && shared < before.length && value[shared] === before[shared]) shared++
    // Writers need not find the longest.
    return random.once(5) ? random.between(0, shared) : shared
  })
  const suffixes = values.map((value, i) => value.subarray(prefixes[i]))
  return Buffer.concat([deltas(prefixes, 32, random), deltaLengths(suffixes, random)])
}

export function split(values: readonly Raw[], physical: Physical): Uint8Array {
  const bytes = plain(values, physical)
  const width = bytes.length / Math.max(1, values.length)
  return Uint8Array.from({ length: bytes.length }, (_, i) => {
    const [stream, value] = [Math.floor(i / values.length), i % values.length]
    return bytes[value * width + stream] as number
  })
}

export function compressed(codec: TestCodec, bytes: Uint8Array, random: Random): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes
    case 'snappy':
      return snappyCompress(bytes)
    case 'gzip':
      return zlib.gzipSync(bytes)
    case 'zstd':
      return zlib.zstdCompressSync(bytes)
    case 'brotli':
      return zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } })
    case 'lz4_raw':
      return lz4Block(bytes)
    case 'lz4':
      // Some writers put a bare block under this name.
      return bytes.length > 0 && random.once(4) ? lz4Block(bytes) : hadoop(bytes, random)
  }
}

/** Frames as Hadoop makes them: one of all, cut into blocks, or several. */
function hadoop(bytes: Uint8Array, random: Random): Uint8Array {
  const parts: Uint8Array[] = []
  const number = (n: number) => {
    const out = Buffer.alloc(4)
    out.writeUInt32BE(n)
    return out
  }
  for (let at = 0; at < bytes.length; ) {
    const frame = bytes.subarray(at, at + (random.once(2) ? bytes.length : random.between(1, bytes.length)))
    parts.push(number(frame.length))
    for (let from = 0; from < frame.length; ) {
      const content = frame.subarray(from, from + (random.once(2) ? frame.length : random.between(1, frame.length)))
      const block = lz4Block(content)
      parts.push(number(block.length), block)
      from += content.length
    }
    at += frame.length
  }
  return Buffer.concat(parts)
}

/** A block with matches where four bytes repeat those right before them, and literals otherwise. */
function lz4Block(bytes: Uint8Array): Uint8Array {
  const out: number[] = []
  const more = (n: number) => {
    const rest: number[] = []
    if (n < 15) return rest
    let left = n - 15
    for (; left >= 255; left -= 255) rest.push(255)
    rest.push(left)
    return rest
  }
  let from = 0
  let at = 1
  // The format wants the last five bytes as literals, and no match in the last twelve.
  while (at < bytes.length - 12) {
    let offset = 1
    while (offset <= 8 && offset <= at && !same(bytes, at, offset)) offset++
    if (offset > 8 || offset > at) {
      at++
      continue
    }
    let length = 4
    while (at + length < bytes.length - 5 && bytes[at + length] === bytes[at + length - offset]) length++
    const literals = at - from
    out.push((Math.min(15, literals) << 4) | Math.min(15, length - 4), ...more(literals))
    out.push(...bytes.subarray(from, at), offset, 0, ...more(length - 4))
    at += length
    from = at
  }
  const literals = bytes.length - from
  out.push(Math.min(15, literals) << 4, ...more(literals), ...bytes.subarray(from))
  return Uint8Array.from(out)
}

function same(bytes: Uint8Array, at: number, offset: number): boolean {
  for (let i = 0; i < 4; i++) if (bytes[at + i] !== bytes[at + i - offset]) return false
  return true
}
