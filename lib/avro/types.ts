import { createRequire } from 'node:module'

/**
 * Avro types by way of `avsc`, with longs as bigint: its own long throws above 2^53, where snapshot ids live. Pure but for a cache.
 */

// The types alone: the package's index loads protocols, services and streams as well.
const avro = createRequire(import.meta.url)('avsc/etc/browser/avsc-types.js') as typeof import('avsc')

/** An Avro schema as JSON. Attributes that Avro does not know (`field-id`, `element-id`) stay where they are. */
export type AvroSchema = string | AvroObject | readonly AvroSchema[]

export interface AvroObject {
  readonly type: AvroSchema
  readonly name?: string
  readonly fields?: readonly AvroField[]
  readonly items?: AvroSchema
  readonly values?: AvroSchema
  readonly [attribute: string]: unknown
}

export interface AvroField {
  readonly name: string
  readonly type: AvroSchema
  readonly 'field-id'?: number
  readonly default?: unknown
}

/** Encodes and decodes one value of a schema. */
export interface AvroCodec {
  encode(value: unknown): Buffer
  /** Decodes the value at `position`; `offset` is where it ends, negative when the bytes end first. */
  decode(bytes: Buffer, position: number): { value: unknown; offset: number }
}

const longAsBigint = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(value)
    return bytes
  },
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => value.toString(),
  isValid: (value: unknown) => typeof value === 'bigint' && BigInt.asIntN(64, value) === value,
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
})

// Every spelling of long, `{type: 'long', logicalType: …}` too: a registry entry would only catch the bare name.
function bigintLongs(schema: unknown) {
  return schema === 'long' || (schema as { type?: unknown } | null)?.type === 'long' ? longAsBigint : undefined
}

/** avsc compiles a schema to code, which costs more than reading a small file with it; a table's manifests have one or two schemas. */
const MOST_KEPT = 32
const kept = new Map<string, AvroCodec>()

/** @throws Error when it is no Avro schema */
export function avroCodec(schema: AvroSchema): AvroCodec {
  const key = JSON.stringify(schema)
  const known = kept.get(key)
  if (known) return known
  const type = avro.Type.forSchema(schema as never, { typeHook: bigintLongs, wrapUnions: 'never' } as never)
  const codec: AvroCodec = {
    encode: (value) => type.toBuffer(value),
    decode: (bytes, position) => type.decode(bytes, position),
  }
  if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value as string)
  kept.set(key, codec)
  return codec
}
