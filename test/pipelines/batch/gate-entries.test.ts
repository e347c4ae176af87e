import { expect, test } from 'vitest'
import { compress, type OutputCodec } from '../../../lib/parquet/codec.ts'
import { PAGE } from '../../../lib/parquet/page.ts'
import { Scratch, unpacked } from '../../../pipelines/batch/gate/entries.ts'

test.each([
  ['none', false],
  ['snappy', false],
  ['snappy', true],
  ['zstd', true],
] satisfies [OutputCodec, boolean][])(
  'a page (%s, literals %s) outlives the memory that it was read into',
  (codec, random) => {
    const content = Buffer.from('one of the values of a dictionary, '.repeat(3000))
    const body = new Uint8Array(compress(codec, content, random))
    const sizes = { uncompressedBytes: content.length, compressedBytes: body.length }
    const header = { type: PAGE.DICTIONARY, ...sizes, values: 1, encoding: 0 } as const
    const page = { header, body, from: 0, headBytes: 0, place: { location: 'memory:/f' }, fields: new Map() }
    const plain = unpacked(page as unknown as Parameters<typeof unpacked>[0], codec, new Scratch())
    body.fill(0)
    expect(Buffer.compare(plain, content)).toBe(0)
  },
)
