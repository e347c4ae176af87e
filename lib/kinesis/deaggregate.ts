/**
 * Records of the Kinesis Producer Library out of the aggregate it packs them into: F3 89 9A C2, a protobuf message, the message's MD5
 * (amazon-kinesis-producer, aggregation-format.md). What looks like one and is not, by digest or by form, is a plain record, as it is for
 * the KCL. Pure.
 */
import { createHash } from 'node:crypto'
import type { Shard, StoredRecord } from './kinesis.ts'
import type { StreamRecord } from './records.ts'

/**
 * What becomes of an aggregate in which a record's key belongs to another shard. After a reshard the KPL sends such records again, one by one, to
 * where they belong: the KCL therefore drops the whole aggregate. Producers that aggregate without the KPL and mix keys do not send again.
 * keep: nothing is lost, and after a reshard records may come twice; drop: as the KCL.
 */
export type ForeignAggregates = 'keep' | 'drop'

const MAGIC = 0xf3899ac2
const MAGIC_BYTES = 4
const DIGEST_BYTES = 16

/** Whether a record's data begins as an aggregate does. */
export function maybeAggregate(data: Uint8Array): boolean {
  return (
    data.length > MAGIC_BYTES + DIGEST_BYTES && data[0] === 0xf3 && data[1] === 0x89 && bigEndian(data, 0) === MAGIC
  )
}

/**
 * Appends to `into` what a stored record holds: itself, or each record of its aggregate.
 * @returns records that were dropped, 0 where `foreign` is keep
 */
export function deaggregate(
  stored: StoredRecord,
  shard: Shard,
  foreign: ForeignAggregates,
  into: StreamRecord[],
): number {
  const { sequence, arrivalMs, partitionKey, data } = stored
  const parts = maybeAggregate(data) ? partsOf(data) : undefined
  if (parts === undefined) {
    into.push({ shard: shard.id, sequence, sub: 0, arrivalMs, partitionKey, data })
    return 0
  }
  if (foreign === 'drop' && parts.some((part) => !belongs(part, shard))) return parts.length
  for (const [sub, part] of parts.entries())
    into.push({ shard: shard.id, sequence, sub, arrivalMs, partitionKey: part.partitionKey, data: part.data })
  return 0
}

interface Part {
  readonly partitionKey: string
  readonly explicitHashKey: string | undefined
  readonly data: Uint8Array
}

function belongs({ partitionKey, explicitHashKey }: Part, { hashKeys }: Shard): boolean {
  const hash = explicitHashKey === undefined ? hashOf(partitionKey) : BigInt(explicitHashKey)
  return hash >= hashKeys.from && hash <= hashKeys.to
}

/** Where a partition key goes: its MD5 as a number of 128 bits. */
export function hashOf(partitionKey: string): bigint {
  return BigInt(`0x${createHash('md5').update(partitionKey, 'utf8').digest('hex')}`)
}

/** The records of an aggregate; undefined where it is none. An empty one is none either. */
function partsOf(data: Uint8Array): Part[] | undefined {
  const message = data.subarray(MAGIC_BYTES, data.length - DIGEST_BYTES)
  const digest = createHash('md5').update(message).digest()
  if (!digest.equals(data.subarray(data.length - DIGEST_BYTES))) return undefined
  const keys: string[] = []
  const hashKeys: string[] = []
  const records: Uint8Array[] = []
  const whole = eachField(message, (field, value) => {
    if (!(value instanceof Uint8Array)) return
    if (field === 1) keys.push(textOf(value))
    else if (field === 2) hashKeys.push(textOf(value))
    else if (field === 3) records.push(value)
  })
  if (!whole || records.length === 0 || hashKeys.some((key) => !/^[0-9]{1,39}$/.test(key))) return undefined
  const parts: Part[] = []
  for (const record of records) {
    const part = partOf(record, keys, hashKeys)
    if (part === undefined) return undefined
    parts.push(part)
  }
  return parts
}

function partOf(record: Uint8Array, keys: readonly string[], hashKeys: readonly string[]): Part | undefined {
  let partitionKey: string | undefined
  let hashIndex: number | undefined
  let data: Uint8Array | undefined
  const whole = eachField(record, (field, value) => {
    if (field === 1 && typeof value === 'number') partitionKey = keys[value]
    else if (field === 2 && typeof value === 'number') hashIndex = value
    else if (field === 3 && value instanceof Uint8Array) data = value
  })
  if (!whole || partitionKey === undefined || data === undefined) return undefined
  const explicitHashKey = hashIndex === undefined ? undefined : hashKeys[hashIndex]
  if (hashIndex !== undefined && explicitHashKey === undefined) return undefined
  return { partitionKey, explicitHashKey, data }
}

/**
 * The fields of a protobuf message, in their order; varints as numbers, the others as bytes.
 * @returns false where the message ends early or has a field of no known kind
 */
function eachField(message: Uint8Array, see: (field: number, value: number | Uint8Array) => void): boolean {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++]
      if (byte === undefined) return Number.NaN
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  while (at < message.length) {
    const tag = varint()
    const kind = tag % 8
    const length = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : 0
    // NaN fails this too.
    if (!(tag >= 8) || !(length <= message.length - at)) return false
    if (kind === 0) {
      const value = varint()
      if (Number.isNaN(value)) return false
      see(Math.floor(tag / 8), value)
    } else if (kind === 1 || kind === 2 || kind === 5) {
      see(Math.floor(tag / 8), message.subarray(at, at + length))
      at += length
    } else return false
  }
  return true
}

function bigEndian(data: Uint8Array, at: number): number {
  return new DataView(data.buffer, data.byteOffset + at, 4).getUint32(0)
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
