import { crc32, deflateRawSync, zstdCompressSync } from 'node:zlib'
import avro from 'avsc'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readContainer, writeContainer } from '../../lib/avro/container.ts'
import type { AvroSchema } from '../../lib/avro/types.ts'

const SCHEMA: AvroSchema = {
  type: 'record',
  name: 'entry',
  fields: [
    { name: 'id', type: 'long', 'field-id': 1 },
    { name: 'text', type: ['null', 'string'], default: null, 'field-id': 2 },
  ],
}

test('longs, and the schema with its field ids, come back exactly', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
          text: fc.option(fc.string({ unit: 'grapheme' })),
        }),
      ),
      (records) => {
        const file = readContainer(writeContainer({ schema: SCHEMA, metadata: { k: 'ü' }, records }), 'f')
        expect(file.schema).toEqual(SCHEMA)
        expect(file.metadata.get('k')).toBe('ü')
        expect([...file.records()].map((record) => ({ ...(record as object) }))).toEqual(records)
      },
    ),
    { numRuns: 50 },
  )
})

test('another reader finds the same records, over many blocks', async () => {
  const records = Array.from({ length: 20_000 }, (_, i) => ({ id: BigInt(i), text: `row ${i}` }))
  const bytes = writeContainer({ schema: SCHEMA, metadata: {}, records })
  const decoder = new avro.streams.BlockDecoder()
  const found: { id: number; text: string }[] = []
  decoder.on('data', (record) => found.push(record))
  decoder.end(Buffer.from(bytes))
  await new Promise((resolve, reject) => decoder.on('end', resolve).on('error', reject))
  expect(found).toHaveLength(20_000)
  expect({ ...found[19_999] }).toEqual({ id: 19_999, text: 'row 19999' })
})

test('the codecs of other writers are read: null, deflate, snappy, zstandard', async () => {
  const snappy = (data: Buffer) => {
    // The plainest snappy there is: one literal of up to 60 bytes, after its length.
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(crc32(data))
    return Buffer.concat([Buffer.from([data.length, (data.length - 1) << 2]), data, crc])
  }
  const codecs = {
    null: (data: Buffer) => data,
    deflate: (data: Buffer) => deflateRawSync(data),
    snappy,
    zstandard: (data: Buffer) => zstdCompressSync(data),
  }
  for (const [codec, compress] of Object.entries(codecs)) {
    const encoder = new avro.streams.BlockEncoder(SCHEMA as never, {
      codec,
      codecs: { [codec]: (data, done) => done(null, compress(data)) },
    })
    encoder.end({ id: 7, text: 'seven' })
    const chunks: Buffer[] = []
    for await (const chunk of encoder) chunks.push(chunk as Buffer)
    expect([codec, ...readContainer(Buffer.concat(chunks), 'f').records()]).toEqual([codec, { id: 7n, text: 'seven' }])
  }
})

test('a file cut off anywhere, or changed in a block, is refused with its location and never read in part', () => {
  const bytes = writeContainer({
    schema: SCHEMA,
    metadata: {},
    records: [
      { id: 1n, text: 'a' },
      { id: 2n, text: null },
    ],
  })
  const read = (changed: Uint8Array) => [...readContainer(changed, '/t/m.avro').records()]
  const whole = read(bytes)
  for (let end = 0; end < bytes.length; end++) {
    let got: unknown
    try {
      got = read(bytes.slice(0, end))
    } catch (error) {
      expect(error).toMatchObject({ code: 'table/invalid', context: { location: '/t/m.avro' } })
      continue
    }
    // The header alone is a whole file of no records: what is missing then is for the manifest list's counts to tell.
    expect(got).toEqual([])
  }
  const changed = bytes.slice()
  changed[bytes.length - 20] = (changed[bytes.length - 20] as number) ^ 0xff
  expect(() => expect(read(changed)).not.toEqual(whole)).toThrow()
})

test('a codec and a header that are not known are named', () => {
  const bytes = Buffer.from(writeContainer({ schema: SCHEMA, metadata: {}, records: [] }))
  const at = bytes.indexOf('deflate')
  bytes.write('lzma123', at)
  expect(() => readContainer(bytes, 'f')).toThrow(/Avro codec "lzma123" is not known/)
  expect(() => readContainer(new TextEncoder().encode('PAR1'), 'f')).toThrow(/does not begin as an Avro container/)
})
