import zlib from 'node:zlib'
import fc from 'fast-check'
import { snappyUncompress } from 'hyparquet/src/snappy.js'
import { describe, expect, test } from 'vitest'
import {
  type Codec,
  compress,
  decompress,
  literalOf,
  type OutputCodec,
  snappyLiterals,
} from '../../lib/parquet/codec.ts'
import { bitWidth, decodeHybrid, encodeHybrid } from '../../lib/parquet/levels.ts'
import { put, readStruct, struct, T, ThriftEnd, type ThriftStruct, writeStruct } from '../../lib/parquet/thrift.ts'

describe('levels and indices', () => {
  const runs = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 40 })), { maxLength: 60 })

  test('what is encoded is decoded, at every width', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 22 }), (parts, width) => {
        const values = parts.flatMap(([value, n]) => Array.from({ length: n }, () => value % 2 ** width))
        const out = new Int32Array(values.length)
        decodeHybrid(encodeHybrid(values, width), width, out)
        expect([...out]).toEqual(values)
      }),
    )
  })

  test('the specification’s example of bit packing is read as it says', () => {
    const out = new Uint8Array(8)
    decodeHybrid(Uint8Array.of(0b11, 0b10001000, 0b11000110, 0b11111010), 3, out)
    expect([...out]).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  test('widths above 24 bits are read too', () => {
    const [width, values] = [29, [2 ** 29 - 1, 0, 5, 2 ** 28, 1, 2, 3, 4]]
    let packed = 0n
    for (const [i, value] of values.entries()) packed |= BigInt(value) << BigInt(i * width)
    const bytes = [3, ...Array.from({ length: width }, (_, i) => Number((packed >> BigInt(8 * i)) & 0xffn))]
    const out = new Int32Array(8)
    decodeHybrid(Uint8Array.from(bytes), width, out)
    expect([...out]).toEqual(values)
  })

  test('garbage is an error or values, and never takes longer than its values', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 40 }), (bytes, width) => {
        const out = new Int32Array(1000)
        try {
          decodeHybrid(bytes, width, out)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })

  test('a width has room for the greatest value', () => {
    expect([0, 1, 2, 3, 4, 255, 256].map(bitWidth)).toEqual([0, 1, 2, 2, 3, 8, 9])
  })
})

describe('codecs', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 50_000 })).map(([unit, n]) => {
      const out = new Uint8Array(unit.length * n)
      for (let i = 0; i < n; i++) out.set(unit, i * unit.length)
      return out
    }),
  )

  test.each(['none', 'snappy', 'gzip', 'zstd'] satisfies OutputCodec[])(
    '%s gives back what it was given, as literals too',
    (codec) => {
      fc.assert(
        fc.property(bytes, fc.boolean(), (content, random) => {
          const back = decompress(codec, compress(codec, content, random), content.length)
          expect(Buffer.compare(back, content)).toBe(0)
        }),
        { numRuns: 30 },
      )
    },
  )

  test('literals of any length are Snappy to others', () => {
    for (const length of [0, 1, 59, 60, 61, 255, 256, 65_535, 65_536, 65_537, (1 << 24) - 1, 1 << 24, (1 << 24) + 1]) {
      const content = Buffer.alloc(
        length,
        Uint8Array.from({ length: 251 }, (_, i) => i),
      )
      const page = snappyLiterals([content.subarray(0, length >> 1), content.subarray(length >> 1)])
      const out = new Uint8Array(length)
      if (length > 0) snappyUncompress(page, out)
      expect([length, Buffer.compare(out, content)]).toEqual([length, 0])
      expect(literalOf(page, length)?.length).toBe(length)
      expect(literalOf(page, length + 1)).toBeUndefined()
      expect(literalOf(page.subarray(0, page.length - 1), length)).toBeUndefined()
    }
  })

  test('a header that promises another length is found out', () => {
    const content = new Uint8Array(100_000)
    const packed: [Codec, Uint8Array][] = [
      ['snappy', compress('snappy', content)],
      ['gzip', zlib.gzipSync(content)],
      ['zstd', zlib.zstdCompressSync(content)],
      ['brotli', zlib.brotliCompressSync(content)],
    ]
    for (const [codec, bytes] of packed)
      for (const size of [99_999, 100_001, 2 ** 31 - 1]) expect(() => decompress(codec, bytes, size)).toThrow()
  })
})

describe('thrift', () => {
  const leaf = fc.oneof(
    fc.boolean().map(put.bool),
    fc.integer().map(put.i32),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(put.i64),
    fc.uint8Array({ maxLength: 20 }).map((b) => put.bytes(Buffer.from(b))),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((b) => ({ type: T.DOUBLE, value: Buffer.from(b) })),
    fc.array(fc.integer(), { maxLength: 20 }).map(put.i32s),
  )
  const id = fc.integer({ min: -100, max: 300 })
  const { tree } = fc.letrec<{ tree: ThriftStruct }>((tie) => ({
    tree: fc
      .uniqueArray(
        fc.tuple(
          id,
          fc.oneof(
            { maxDepth: 3 },
            leaf,
            tie('tree').map((value) => ({ type: T.STRUCT, value })),
            fc.array(tie('tree'), { maxLength: 3 }).map(put.structs),
          ),
        ),
        { selector: ([key]) => key, maxLength: 6 },
      )
      .map((fields) => new Map(fields)),
  }))

  test('an integer comes back exactly, as a number or not', () => {
    const powers = [0, 6, 7, 13, 31, 32, 47, 48, 49, 51, 52, 53, 54, 55, 56, 62].map((power) => 2n ** BigInt(power))
    const near = powers.flatMap((power) => [-1n, 0n, 1n].flatMap((step) => [power + step, -power + step]))
    for (const value of [...near, -(2n ** 63n), 2n ** 63n - 1n]) {
      const written = writeStruct(struct({ 1: put.i64(value) }))
      expect(BigInt(readStruct(written).value.get(1)?.value as number | bigint)).toBe(value)
      if (!Number.isSafeInteger(Number(value))) continue
      expect(writeStruct(struct({ 1: put.i64(Number(value)) }))).toEqual(written)
    }
  })

  test('every field comes back, those nobody knows too, with its type and in its order', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const bytes = writeStruct(value)
        const read = readStruct(bytes)
        expect(read.end).toBe(bytes.length)
        expect(writeStruct(read.value)).toEqual(bytes)
        expect([...read.value.keys()]).toEqual([...value.keys()])
      }),
    )
  })

  test('a structure that is cut off says so, wherever', () => {
    const whole = writeStruct(
      struct({ 1: put.text('name'), 2: put.struct({ 1: put.i64(2n ** 40n) }), 20: put.i32s([1, 2]) }),
    )
    for (let length = 0; length < whole.length; length++)
      expect(() => readStruct(whole.subarray(0, length))).toThrow(ThriftEnd)
  })

  test('a list that promises billions of elements takes no memory for them', () => {
    expect(() => readStruct(Uint8Array.of(0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07))).toThrow(ThriftEnd)
  })

  test('nesting without end is an error', () => {
    expect(() => readStruct(new Uint8Array(10_000).fill(0x1c))).toThrow('nested too deeply')
  })
})
