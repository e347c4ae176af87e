/** Aggregates as the Kinesis Producer Library packs them, for tests (amazon-kinesis-producer, aggregation-format.md). */
import { createHash } from 'node:crypto'

export interface UserRecord {
  readonly partitionKey: string
  readonly explicitHashKey?: string
  readonly data: Uint8Array
}

export function aggregate(records: readonly UserRecord[]): Buffer {
  const message = Buffer.concat([
    ...records.map(({ partitionKey }) => bytesField(1, Buffer.from(partitionKey))),
    ...records.flatMap(({ explicitHashKey }) =>
      explicitHashKey === undefined ? [] : [bytesField(2, Buffer.from(explicitHashKey))],
    ),
    ...records.map((record, i) => bytesField(3, packed(record, i, records))),
  ])
  const digest = createHash('md5').update(message).digest()
  return Buffer.concat([Buffer.from([0xf3, 0x89, 0x9a, 0xc2]), message, digest])
}

function packed({ explicitHashKey, data }: UserRecord, index: number, all: readonly UserRecord[]): Buffer {
  const hashIndex = all.slice(0, index).filter((one) => one.explicitHashKey !== undefined).length
  return Buffer.concat([
    Buffer.from([0x08]),
    varint(index),
    ...(explicitHashKey === undefined ? [] : [Buffer.from([0x10]), varint(hashIndex)]),
    bytesField(3, data),
  ])
}

function bytesField(field: number, data: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(data.length), data])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>>= 7
  } while (rest > 0)
  return Buffer.from(bytes)
}
