/**
 * A Kinesis endpoint that costs as little as can be, so that what is measured is the consumer: every shard gives the same number of records, in
 * answers that are rendered once before the first request. It checks nothing. A process of its own:
 *
 *   node benchmarks/stream/kinesis.ts SHARDS RECORDS DISTINCT    (prints its port; DISTINCT 0: every record has a value of its own)
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [shards = 16, records = 1_000_000, distinct = 10_000] = process.argv.slice(2).map(Number)
/** What one GetRecords may hold. */
const LIMIT = 10_000
const perShard = Math.ceil(records / shards)
const CREATED = 1_767_225_600
const shardId = (i: number) => `shardId-${String(i).padStart(12, '0')}`

/** Answers of a shard, one behind the other. */
function answersOf(shard: number): Buffer[] {
  const answers: Buffer[] = []
  for (let from = 0; from < perShard; from += LIMIT) {
    const to = Math.min(perShard, from + LIMIT)
    const parts: string[] = []
    for (let i = from; i < to; i++) {
      const n = shard * perShard + i
      const vin = distinct === 0 ? n : (n * 7919) % distinct
      const data = `{"dept_id": "${n % 10}", "vin": "${vin}", "example_ts": "2023-09-26T10:00:00.${String(n % 1_000_000).padStart(6, '0')}"}`
      const sequence = `4959${String(n + 1).padStart(52, '0')}`
      parts.push(
        `{"SequenceNumber":"${sequence}","ApproximateArrivalTimestamp":${CREATED},"Data":"${Buffer.from(data).toString('base64')}","PartitionKey":"${String(n).padStart(32, '0')}"}`,
      )
    }
    const behind = to < perShard ? 1000 : 0
    answers.push(
      Buffer.from(
        `{"Records":[${parts.join(',')}],"NextShardIterator":"${shard}:${answers.length + 1}","MillisBehindLatest":${behind}}`,
      ),
    )
  }
  return answers
}

const all = Array.from({ length: shards }, (_, shard) => answersOf(shard))

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const action = String(request.headers['x-amz-target']).split('.')[1]
    const input = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>
    const body = answer(action ?? '', input)
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': body.length })
    response.end(body)
  })
})

function answer(action: string, input: Record<string, string>): Buffer {
  if (action === 'GetRecords') {
    const [shard = 0, at = 0] = String(input.ShardIterator).split(':').map(Number)
    return (
      all[shard]?.[at] ??
      Buffer.from(`{"Records":[],"NextShardIterator":"${input.ShardIterator}","MillisBehindLatest":0}`)
    )
  }
  if (action === 'GetShardIterator')
    return Buffer.from(JSON.stringify({ ShardIterator: `${Number(input.ShardId?.slice(-12))}:0` }))
  if (action === 'ListShards')
    return Buffer.from(
      JSON.stringify({
        Shards: all.map((_, i) => ({
          ShardId: shardId(i),
          HashKeyRange: { StartingHashKey: String(i), EndingHashKey: String(i) },
          SequenceNumberRange: { StartingSequenceNumber: '1' },
        })),
      }),
    )
  return Buffer.from(
    JSON.stringify({
      StreamDescriptionSummary: {
        StreamName: input.StreamName,
        StreamARN: `arn:aws:kinesis:eu-west-1:000000000000:stream/${input.StreamName}`,
        StreamStatus: 'ACTIVE',
        RetentionPeriodHours: 8760,
        StreamCreationTimestamp: CREATED,
      },
    }),
  )
}

server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
