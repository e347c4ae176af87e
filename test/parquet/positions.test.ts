import fc from 'fast-check'
import { snappyUncompress } from 'hyparquet/src/snappy.js'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { expect, test } from 'vitest'
import { decompress } from '../../lib/parquet/codec.ts'
import { bitWidth, decodeHybrid, encodeHybrid } from '../../lib/parquet/levels.ts'
import { PAGE, type Page } from '../../lib/parquet/page.ts'
import { encodePositions, provenPositions } from '../../lib/parquet/positions.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { sharedEngine } from '../../lib/parquet/wasm/engine.ts'

/** The decoder in JavaScript judges the one in WebAssembly, and the other way about. */
function throughWasm(bytes: Uint8Array, width: number, count: number, limit: number): number[] | undefined {
  const engine = sharedEngine()
  const { places } = engine
  engine.bytes().set(bytes, places.in)
  if (!engine.hybrid(places.in, bytes.length, width, count, limit, places.out, true)) return undefined
  return [...new Int32Array(engine.bytes().buffer, places.out, count)]
}

const runs = fc.array(fc.tuple(fc.nat({ max: 1 << 20 }), fc.integer({ min: 1, max: 40 })), { maxLength: 60 })

test('both decoders read what both encoders write', () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 1, max: 20 }), (parts, width) => {
      const values = parts.flatMap(([value, n]) => Array.from({ length: n }, () => value % 2 ** width))
      const limit = 2 ** width - 1
      expect(throughWasm(encodeHybrid(values, width), width, values.length, limit)).toEqual(values)
      const encoded = encodePositions(Int32Array.from(values), 2 ** width)
      expect(encoded[0]).toBe(width)
      const out = new Int32Array(values.length)
      expect(decodeHybrid(encoded.subarray(1), width, out)).toBe(true)
      expect([...out]).toEqual(values)
    }),
  )
})

test('of garbage both decoders say the same: values, or no values, and whether all of it was values', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.integer({ min: 1, max: 24 }),
      fc.integer({ min: 1, max: 90 }),
      (bytes, width, count) => {
        const out = new Int32Array(count)
        let tight: boolean | undefined
        try {
          tight = decodeHybrid(bytes, width, out)
        } catch {
          tight = undefined
        }
        // A run can say a value of more bits than the width; what is too large for a dictionary is found out by its size.
        const found = throughWasm(bytes, width, count, 0x7fffffff)
        expect(found).toEqual(tight === undefined ? undefined : [...out])
        if (found) expect(!!sharedEngine().wasTight()).toBe(tight)
      },
    ),
    { numRuns: 5000 },
  )
})

test('a value above the limit is refused, in runs and in packed groups', () => {
  const packed = encodeHybrid([1, 2, 3, 9, 1, 2, 3, 4], 4)
  expect(throughWasm(packed, 4, 8, 9)).toEqual([1, 2, 3, 9, 1, 2, 3, 4])
  expect(throughWasm(packed, 4, 8, 8)).toBeUndefined()
  const run = encodeHybrid(new Array(20).fill(9), 4)
  expect(throughWasm(run, 4, 20, 8)).toBeUndefined()
})

test('where no value is wanted by itself, all are looked at all the same: the largest, those at the limit, zeros', () => {
  const wide = fc.array(fc.tuple(fc.nat({ max: 2 ** 31 - 1 }), fc.integer({ min: 1, max: 40 })), {
    minLength: 1,
    maxLength: 60,
  })
  fc.assert(
    fc.property(wide, fc.integer({ min: 1, max: 31 }), (parts, width) => {
      const values = parts.flatMap(([value, n]) => Array.from({ length: n }, () => value % 2 ** width))
      const engine = sharedEngine()
      const { places } = engine
      engine.words().set(values, places.slots >> 2)
      const length = engine.encode(places.slots, values.length, width, places.in)
      engine.bytes().fill(0xff, places.in + length, places.in + length + 64)
      const look = (limit: number) => !!engine.hybrid(places.in, length, width, values.length, limit, 0, true)
      const largest = values.reduce((a, b) => Math.max(a, b))
      expect(look(largest)).toBe(true)
      expect(!!engine.wasTight()).toBe(true)
      expect(engine.equalToLimit()).toBe(values.filter((value) => value === largest).length)
      expect(engine.zeros()).toBe(values.filter((value) => value === 0).length)
      if (largest > 0) expect(look(largest - 1)).toBe(false)
    }),
    { numRuns: 2000 },
  )
})

const LEAF = { physical: 'BYTE_ARRAY', maxRepetitionLevel: 0, maxDefinitionLevel: 1 } as LeafNode

function page(levels: number[], positions: number[], entries: number, behind: number[] = [], padding?: number): Page {
  const definition = encodeHybrid(levels, 1)
  const width = bitWidth(entries - 1)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(definition.length)
  const runs = Buffer.from(encodeHybrid(positions, width))
  if (padding !== undefined) runs[runs.length - 1] = (runs[runs.length - 1] as number) | padding
  const body = Buffer.concat([length, definition, Uint8Array.of(width), runs, Uint8Array.from(behind)])
  const header = {
    type: PAGE.DATA,
    values: levels.length,
    encoding: 8,
    definitionEncoding: 3,
    repetitionEncoding: 3,
    uncompressedBytes: body.length,
    compressedBytes: body.length,
  }
  return { header, body, place: { location: 'x' }, fields: new Map(), headBytes: 0, from: 0 }
}

test('a page of positions is proven, and what hides behind its values or in their padding is found', () => {
  const levels = [1, 0, 1, 1, 1, 1, 0]
  const positions = [3, 0, 1, 2, 4]
  const proven = (...args: Parameters<typeof page>) => provenPositions(page(...args) as never, LEAF, 'none', 5)
  expect(proven(levels, positions, 5)).toEqual({ present: 5, rows: 7 })
  expect(proven(levels, positions, 5, [0, 0])).toEqual({ present: 5, rows: 7 })
  expect(proven(levels, positions, 5, [0x41])).toBeUndefined()
  // Five positions of three bits: the last byte of their group belongs to nobody.
  expect(proven(levels, positions, 5, [], 0x80)).toBeUndefined()
  // Fewer entries than positions say.
  expect(provenPositions(page(levels, positions, 5) as never, LEAF, 'none', 4)).toBeUndefined()
})

const content = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc
    .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 300 })), {
      maxLength: 20,
    })
    .map((parts) => Buffer.concat(parts.flatMap(([unit, n]) => Array.from({ length: n }, () => unit)))),
)

test('snappy: what is compressed comes out, byte by byte', () => {
  fc.assert(
    fc.property(content, (bytes) => {
      const packed = snappyCompress(bytes)
      expect(Buffer.compare(decompress('snappy', packed, bytes.length), bytes)).toBe(0)
    }),
  )
})

test('snappy: broken bytes never come out as a page of their length unless another decoder agrees', () => {
  fc.assert(
    fc.property(
      content,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      (bytes, changes) => {
        const packed = Buffer.from(snappyCompress(bytes))
        for (const [at, value] of changes) if (packed.length > 0) packed[at % packed.length] = value
        const engine = sharedEngine()
        const { places } = engine
        engine.bytes().set(packed, places.in)
        engine.bytes().fill(0xee, places.out + bytes.length, places.out + bytes.length + 64)
        const ours = engine.uncompress(places.in, packed.length, places.out, bytes.length)
        if (!ours || bytes.length === 0) return
        const theirs = new Uint8Array(bytes.length)
        snappyUncompress(packed, theirs)
        expect(Buffer.compare(engine.bytes().subarray(places.out, places.out + bytes.length), theirs)).toBe(0)
      },
    ),
    { numRuns: 2000 },
  )
})
