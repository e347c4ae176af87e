/**
 * A Kinesis that costs as little as can be: answers are made once, and given to everybody. Of `SHARDS` shards each holds the same 10,000
 * records, again and again, under the sequence numbers of another reading. A process of its own: `node server.ts SHARDS RECORDS`; prints its port.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { recordSource } from '../../producer/records.ts'

const [shards = 8, count = 10_000] = process.argv.slice(2).map(Number)
const arrival = Date.now() / 1000

/** 56 digits. */
const sequenceOf = (i: number) => `4959${String(i).padStart(52, '0')}`
const make = recordSource({ seed: 1, distinct: 10_000, micros: () => Date.now() * 1000 })
const records = make(count).map(({ partitionKey, data }, i) => ({
  SequenceNumber: sequenceOf(i),
  ApproximateArrivalTimestamp: arrival,
  Data: Buffer.from(data).toString('base64'),
  PartitionKey: partitionKey,
}))
const batch = Buffer.from(JSON.stringify({ Records: records, NextShardIterator: 'next', MillisBehindLatest: 1000 }))
const taken = Buffer.from(
  JSON.stringify({
    FailedRecordCount: 0,
    Records: Array.from({ length: 500 }, (_, i) => ({
      ShardId: 'shardId-000000000000',
      SequenceNumber: sequenceOf(i),
    })),
  }),
)
const width = 2n ** 128n / BigInt(shards)
const answers: Record<string, Buffer> = {
  GetRecords: batch,
  PutRecords: taken,
  GetShardIterator: Buffer.from('{"ShardIterator":"first"}'),
  DescribeStreamSummary: Buffer.from(
    JSON.stringify({
      StreamDescriptionSummary: {
        StreamName: 's',
        StreamARN: 'arn:aws:kinesis:eu-west-1:000000000000:stream/s',
        StreamStatus: 'ACTIVE',
        RetentionPeriodHours: 24,
        StreamCreationTimestamp: 1_700_000_000,
      },
    }),
  ),
  ListShards: Buffer.from(
    JSON.stringify({
      Shards: Array.from({ length: shards }, (_, i) => ({
        ShardId: `shardId-${String(i).padStart(12, '0')}`,
        HashKeyRange: { StartingHashKey: String(BigInt(i) * width), EndingHashKey: String(BigInt(i + 1) * width - 1n) },
        SequenceNumberRange: { StartingSequenceNumber: '1' },
      })),
    }),
  ),
}

const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    const answer = answers[String(request.headers['x-amz-target']).split('.')[1] ?? '']
    response.writeHead(answer ? 200 : 400, {
      'content-type': 'application/x-amz-json-1.1',
      'content-length': answer?.length ?? 0,
    })
    response.end(answer)
  })
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
