/**
 * Kinesis in this process, over HTTP, so that the SDK's own client speaks to it: streams in memory (lib/kinesis/memory.ts), every signature
 * checked, and the faults that emulators don't have.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { KinesisClient } from '@aws-sdk/client-kinesis'
import { onTestFinished } from 'vitest'
import { systemClock } from '../../../lib/core/clock.ts'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import type { Kinesis, ReadFrom } from '../../../lib/kinesis/kinesis.ts'
import { type MemoryKinesis, type MemoryKinesisOptions, memoryKinesis } from '../../../lib/kinesis/memory.ts'
import { KEYS, verified } from '../aws.ts'
import { clientOf, kinesisAt, REGION } from './connect.ts'

/**
 * - a name: refused with it (`ProvisionedThroughputExceededException`, `ExpiredIteratorException`, `AccessDeniedException`, …)
 * - `500`: not done; `reset`: not done, and the connection breaks; `lost`: done, and the connection breaks; `silent`: never answered
 * - `partial`: of a PutRecords every third record fails, the first one too
 * - `ended`: of a GetRecords the iterator that it should give
 */
export type KinesisFault = string

export interface KinesisFake {
  readonly url: string
  readonly memory: MemoryKinesis
  /** Actions that arrived, in order. */
  readonly calls: string[]
  readonly requests: { readonly action: string; readonly input: Readonly<Record<string, unknown>> }[]
  /** For a process or a run: keys, region and endpoint. */
  readonly env: Record<string, string>
  client(): KinesisClient
  /** The port over the SDK's client. */
  kinesis(): Kinesis
  /** The next `times` calls of an action meet it. */
  fault(action: string, fault: KinesisFault, times?: number): void
  /** Asked at each call; undefined is no fault. After what `fault` has set. */
  chance: (action: string, input: Readonly<Record<string, unknown>>) => KinesisFault | undefined
}

export async function kinesisFake(options: Partial<MemoryKinesisOptions> = {}): Promise<KinesisFake> {
  const memory = memoryKinesis({ clock: systemClock(), ...options })
  const faults = new Map<string, KinesisFault[]>()
  const calls: string[] = []
  const requests: KinesisFake['requests'] = []
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request)
    const action = String(request.headers['x-amz-target']).replace(/^Kinesis_20131202\./, '')
    try {
      const { service } = verified(
        { method: 'POST', url: request.url ?? '/', headers: request.headers, body },
        (key) => (key === KEYS.AWS_ACCESS_KEY_ID ? KEYS.AWS_SECRET_ACCESS_KEY : undefined),
      )
      if (service !== 'kinesis') throw new Error('signed for another service')
    } catch (error) {
      return refuse(response, 'InvalidSignatureException', String(error))
    }
    const input = JSON.parse(body.toString()) as Record<string, unknown>
    calls.push(action)
    requests.push({ action, input })
    const fault = faults.get(action)?.shift() ?? fake.chance(action, input)
    if (fault === 'silent') return
    if (fault === 'reset') return void response.destroy()
    if (fault === '500') return refuse(response, 'InternalFailure', 'said by the fake', 500)
    if (fault !== undefined && !['lost', 'partial', 'ended'].includes(fault)) return refuse(response, fault)
    try {
      const answer = await perform(memory, action, input, fault)
      if (fault === 'lost') return void response.destroy()
      send(response, 200, answer)
    } catch (error) {
      if (error instanceof FakeRefusal) return refuse(response, error.type)
      if (!isPseudolakeError(error)) return refuse(response, 'InternalFailure', String(error), 500)
      refuse(response, String(error.context.reason ?? 'ResourceNotFoundException'))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clients: KinesisClient[] = []
  onTestFinished(() => {
    for (const client of clients) client.destroy()
    server.closeAllConnections()
    server.close()
  })
  const fake: KinesisFake = {
    url,
    memory,
    calls,
    requests,
    env: { ...KEYS, AWS_REGION: REGION, AWS_ENDPOINT_URL: url },
    client() {
      const client = clientOf(url)
      clients.push(client)
      return client
    },
    kinesis: () => kinesisAt(url),
    fault(action, fault, times = 1) {
      faults.set(action, [...(faults.get(action) ?? []), ...Array<KinesisFault>(times).fill(fault)])
    },
    chance: () => undefined,
  }
  return fake
}

async function perform(
  memory: MemoryKinesis,
  action: string,
  input: Readonly<Record<string, unknown>>,
  fault: KinesisFault | undefined,
): Promise<object> {
  const stream = String(input.StreamName)
  switch (action) {
    case 'CreateStream':
      memory.createStream(stream, Number(input.ShardCount))
      return {}
    case 'DeleteStream':
      memory.deleteStream(stream)
      return {}
    case 'SplitShard':
      memory.split(stream, String(input.ShardToSplit))
      return {}
    case 'MergeShards':
      memory.merge(stream, String(input.ShardToMerge), String(input.AdjacentShardToMerge))
      return {}
    case 'DescribeStreamSummary': {
      const { arn, createdMs, status, retentionMs } = await memory.describe(stream)
      return {
        StreamDescriptionSummary: {
          StreamName: stream,
          StreamARN: arn,
          StreamStatus: status,
          RetentionPeriodHours: retentionMs / 3_600_000,
          StreamCreationTimestamp: createdMs / 1000,
        },
      }
    }
    case 'ListShards':
      return listShards(memory, input)
    case 'GetShardIterator':
      return { ShardIterator: await memory.iterator(stream, String(input.ShardId), readFrom(input)) }
    case 'GetRecords':
      return getRecords(memory, input, fault)
    case 'PutRecords':
      return putRecords(memory, input, fault)
  }
  throw new Error(`${action} is not known to the fake`)
}

/** Pages of a thousand, whose token names stream and place. */
async function listShards(memory: MemoryKinesis, { StreamName, NextToken }: Readonly<Record<string, unknown>>) {
  if (StreamName !== undefined && NextToken !== undefined) throw new Error('a token comes without a name')
  const [stream, from] = NextToken === undefined ? [String(StreamName), 0] : JSON.parse(String(NextToken))
  const all = await memory.shards(stream)
  const page = all.slice(from, from + 100)
  return {
    Shards: page.map(({ id, parents, hashKeys, closed }) => ({
      ShardId: id,
      ...(parents[0] !== undefined && { ParentShardId: parents[0] }),
      ...(parents[1] !== undefined && { AdjacentParentShardId: parents[1] }),
      HashKeyRange: { StartingHashKey: String(hashKeys.from), EndingHashKey: String(hashKeys.to) },
      SequenceNumberRange: { StartingSequenceNumber: '1', ...(closed && { EndingSequenceNumber: '2' }) },
    })),
    ...(from + 100 < all.length && { NextToken: JSON.stringify([stream, from + 100]) }),
  }
}

async function getRecords(memory: MemoryKinesis, input: Readonly<Record<string, unknown>>, fault?: KinesisFault) {
  const answer = await memory.records(String(input.ShardIterator), Number(input.Limit ?? 10_000))
  if (answer === 'expired') throw new FakeRefusal('ExpiredIteratorException')
  const { records, next, behindMs, children } = answer
  return {
    Records: records.map(({ sequence, arrivalMs, partitionKey, data }) => ({
      SequenceNumber: sequence,
      ApproximateArrivalTimestamp: arrivalMs / 1000,
      Data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
      PartitionKey: partitionKey,
    })),
    ...(next !== undefined && fault !== 'ended' && { NextShardIterator: next }),
    MillisBehindLatest: behindMs,
    ...(children.length > 0 && { ChildShards: children.map((id) => ({ ShardId: id, ParentShards: [] })) }),
  }
}

async function putRecords(memory: MemoryKinesis, input: Readonly<Record<string, unknown>>, fault?: KinesisFault) {
  const given = input.Records as { readonly Data: string; readonly PartitionKey: string }[]
  if (given.length > 500) throw new FakeRefusal('InvalidArgumentException')
  const records = given.map(({ Data, PartitionKey }) => ({
    partitionKey: PartitionKey,
    data: Buffer.from(Data, 'base64'),
  }))
  const taken = records.filter((_, i) => fault !== 'partial' || i % 3 !== 0)
  const results = [...(await memory.put(String(input.StreamName), taken))]
  const answers = records.map((_, i) => {
    const result = fault === 'partial' && i % 3 === 0 ? undefined : results.shift()
    if (result === undefined) return { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'too much' }
    if ('error' in result) return { ErrorCode: result.error, ErrorMessage: 'said by the fake' }
    return { ShardId: result.shard, SequenceNumber: result.sequence }
  })
  return { FailedRecordCount: answers.filter((answer) => 'ErrorCode' in answer).length, Records: answers }
}

class FakeRefusal extends Error {
  readonly type: string
  constructor(type: string) {
    super(type)
    this.type = type
  }
}

function readFrom(input: Readonly<Record<string, unknown>>): ReadFrom {
  switch (input.ShardIteratorType) {
    case 'AT_TIMESTAMP':
      return { at: Number(input.Timestamp) * 1000 }
    case 'AFTER_SEQUENCE_NUMBER':
      return { after: String(input.StartingSequenceNumber) }
    case 'LATEST':
      return 'LATEST'
  }
  return 'TRIM_HORIZON'
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function refuse(response: ServerResponse, type: string, message = 'said by the fake', status = 400): void {
  send(response, status, { __type: type, message })
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.1',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}
