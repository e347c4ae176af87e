import { createHash } from 'node:crypto'
import { deflateRawSync, inflateRawSync, zstdDecompressSync } from 'node:zlib'
import { snappyUncompress } from 'hyparquet/src/snappy.js'
import { PseudolakeError } from '../core/errors.ts'
import { type AvroSchema, avroCodec } from './types.ts'

/**
 * Object container files (Avro 1.11 specification, "Object Container Files"). Pure.
 *
 * The schema text of the header is written exactly as given. Iceberg's readers resolve columns by the `field-id` attributes in it, and
 * `avsc`'s own encoder writes a schema it has parsed, without them, unless it is fed with care.
 */

const MAGIC = Buffer.from([0x4f, 0x62, 0x6a, 0x01]) // "Obj", version 1
const SYNC_BYTES = 16
/** Records are gathered to about this many bytes before they are compressed. */
const BLOCK_BYTES = 64 * 1024

const HEADER = avroCodec({
  type: 'record',
  name: 'header',
  fields: [
    { name: 'magic', type: { type: 'fixed', name: 'magic', size: 4 } },
    { name: 'meta', type: { type: 'map', values: 'bytes' } },
    { name: 'sync', type: { type: 'fixed', name: 'sync', size: SYNC_BYTES } },
  ],
})
const BLOCK = avroCodec({
  type: 'record',
  name: 'block',
  fields: [
    { name: 'count', type: 'long' },
    { name: 'data', type: 'bytes' },
    { name: 'sync', type: { type: 'fixed', name: 'sync', size: SYNC_BYTES } },
  ],
})

export interface ContainerContent {
  readonly schema: AvroSchema
  /** Further header keys, in this order, as UTF-8 text. */
  readonly metadata: Readonly<Record<string, string>>
  readonly records: Iterable<unknown>
}

/** The whole file, deflated: the codec that every Iceberg reader has. Longs of the records are bigints. */
export function writeContainer({ schema, metadata, records }: ContainerContent): Uint8Array {
  const codec = avroCodec(schema)
  const blocks: { count: bigint; data: Buffer }[] = []
  let pending: Buffer[] = []
  let pendingBytes = 0
  const flush = () => {
    if (pending.length > 0) blocks.push({ count: BigInt(pending.length), data: deflateRawSync(Buffer.concat(pending)) })
    pending = []
    pendingBytes = 0
  }
  for (const record of records) {
    const encoded = codec.encode(record)
    pending.push(encoded)
    pendingBytes += encoded.length
    if (pendingBytes >= BLOCK_BYTES) flush()
  }
  flush()

  // The marker must be unlikely to occur in the data; a digest of the data is, and the same content gives the same file.
  const hash = createHash('sha256').update(JSON.stringify([schema, metadata]))
  for (const { data } of blocks) hash.update(data)
  const sync = hash.digest().subarray(0, SYNC_BYTES)

  const text = { ...metadata, 'avro.schema': JSON.stringify(schema), 'avro.codec': 'deflate' }
  const meta = Object.fromEntries(Object.entries(text).map(([key, value]) => [key, Buffer.from(value)]))
  return Buffer.concat([
    HEADER.encode({ magic: MAGIC, meta, sync }),
    ...blocks.map((block) => BLOCK.encode({ ...block, sync })),
  ])
}

export interface Container {
  readonly schema: AvroSchema
  readonly metadata: ReadonlyMap<string, string>
  /** Decoded one block at a time, as the caller asks for them. */
  records(): Generator<unknown, void, undefined>
}

/**
 * Opens a container of any writer: codecs null, deflate, snappy and zstandard.
 * @param location for messages only
 * @throws PseudolakeError `table/invalid` when the bytes are not such a file, end early, or contradict their schema
 */
export function readContainer(bytes: Uint8Array, location: string): Container {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const invalid = (what: string, cause?: unknown) =>
    new PseudolakeError('table/invalid', `${location}: ${what}`, { location }, cause === undefined ? {} : { cause })

  if (!buffer.subarray(0, 4).equals(MAGIC)) throw invalid('does not begin as an Avro container file does')
  const header = decode(HEADER, buffer, 0) as { value: { meta: Record<string, Buffer>; sync: Buffer }; offset: number }
  const metadata = new Map(Object.entries(header.value.meta).map(([key, value]) => [key, value.toString('utf8')]))
  const codecName = metadata.get('avro.codec') ?? 'null'
  const decompress = CODECS[codecName]
  if (!decompress) throw invalid(`Avro codec ${JSON.stringify(codecName)} is not known`)

  let schema: AvroSchema
  let codec: ReturnType<typeof avroCodec>
  try {
    schema = JSON.parse(metadata.get('avro.schema') ?? '') as AvroSchema
    codec = avroCodec(schema)
  } catch (cause) {
    throw invalid('the Avro schema in the header cannot be read', cause)
  }

  return { schema, metadata, records }

  function* records(): Generator<unknown, void, undefined> {
    let position = header.offset
    while (position < buffer.length) {
      const block = decode(BLOCK, buffer, position) as {
        value: { count: bigint; data: Buffer; sync: Buffer }
        offset: number
      }
      if (!block.value.sync.equals(header.value.sync))
        throw invalid(`no sync marker after the block at byte ${position}`)
      const data = decompressBlock(block.value.data, position)
      let at = 0
      for (let i = 0n; i < block.value.count; i++) {
        const record = decode(codec, data, at)
        at = record.offset
        yield record.value
      }
      if (at !== data.length)
        throw invalid(`the block at byte ${position} is longer than its ${block.value.count} records`)
      position = block.offset
    }
  }

  function decode(what: ReturnType<typeof avroCodec>, from: Buffer, position: number) {
    let result: { value: unknown; offset: number }
    try {
      result = what.decode(from, position)
    } catch (cause) {
      throw invalid(`undecodable Avro data at byte ${position}`, cause)
    }
    if (result.offset < 0) throw invalid(`ends inside the Avro data that begins at byte ${position}`)
    return result
  }

  function decompressBlock(data: Buffer, position: number): Buffer {
    try {
      return (decompress as (data: Buffer) => Buffer)(data)
    } catch (cause) {
      throw invalid(`the ${codecName} block at byte ${position} cannot be decompressed`, cause)
    }
  }
}

const CODECS: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  null: (data) => data,
  deflate: (data) => inflateRawSync(data),
  snappy: (data) => unsnappy(data),
  zstandard: (data) => zstdDecompressSync(data),
}

/** Avro's snappy block: the compressed bytes, which begin with their plain length as a varint, then four bytes of CRC. */
function unsnappy(data: Buffer): Buffer {
  const body = data.subarray(0, -4)
  let length = 0
  for (let i = 0, shift = 0; ; i++, shift += 7) {
    const byte = body[i]
    if (byte === undefined || shift > 28) throw new RangeError('no length')
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  // A byte of Snappy stands for 22 at the most: what promises more must not take the memory.
  if (length > body.length * 22 + 64) throw new RangeError('longer than the codec allows')
  const plain = Buffer.alloc(length)
  snappyUncompress(body, plain)
  return plain
}
