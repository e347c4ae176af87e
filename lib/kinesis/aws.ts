/**
 * Kinesis of AWS, and whatever speaks as it does. The SDK's client finds the endpoint and asks what is asked seldom; GetRecords and PutRecords,
 * which move the records, are sent and read here (wire.ts): the SDK takes several times as long for each record.
 */
import type { KinesisClient } from '@aws-sdk/client-kinesis'
import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
import { kinesisFailure } from './failures.ts'
import type { Kinesis, ReadFrom, Shard, StreamDescription } from './kinesis.ts'
import { putBody, readPutAnswer, readRecordsAnswer, type SignRequest, wire } from './wire.ts'

export interface AwsKinesisOptions {
  /** One that tries once: the consumer and the producer try again by themselves. Closed by who made it. */
  readonly client: KinesisClient
  /** Signs for `kinesis` as who the client's requests are made as. */
  readonly sign: SignRequest
}

export function awsKinesis({ client, sign }: AwsKinesisOptions): Kinesis {
  const post = wire(client, sign)

  return {
    async describe(stream, signal): Promise<StreamDescription> {
      const { DescribeStreamSummaryCommand } = await import('@aws-sdk/client-kinesis')
      const { StreamDescriptionSummary: told } = await asked('DescribeStreamSummary', stream, () =>
        client.send(new DescribeStreamSummaryCommand({ StreamName: stream }), options(signal)),
      )
      if (told?.StreamARN === undefined || told.StreamCreationTimestamp === undefined)
        throw odd('DescribeStreamSummary', stream)
      return {
        name: stream,
        arn: told.StreamARN,
        createdMs: told.StreamCreationTimestamp.getTime(),
        status: told.StreamStatus ?? 'ACTIVE',
        retentionMs: (told.RetentionPeriodHours ?? 24) * 3_600_000,
      }
    },

    async shards(stream, signal): Promise<readonly Shard[]> {
      const { ListShardsCommand } = await import('@aws-sdk/client-kinesis')
      const shards: Shard[] = []
      let token: string | undefined
      do {
        const page = token === undefined ? { StreamName: stream } : { NextToken: token }
        const { Shards = [], NextToken } = await asked('ListShards', stream, () =>
          client.send(new ListShardsCommand(page), options(signal)),
        )
        for (const shard of Shards) {
          const { ShardId: id, HashKeyRange: keys, ParentShardId, AdjacentParentShardId, SequenceNumberRange } = shard
          if (id === undefined || keys?.StartingHashKey === undefined || keys.EndingHashKey === undefined)
            throw odd('ListShards', stream)
          const parents = [ParentShardId, AdjacentParentShardId].filter((parent) => parent !== undefined)
          shards.push({
            id,
            parents,
            hashKeys: { from: BigInt(keys.StartingHashKey), to: BigInt(keys.EndingHashKey) },
            closed: SequenceNumberRange?.EndingSequenceNumber !== undefined,
          })
        }
        token = NextToken
      } while (token !== undefined)
      return shards
    },

    async iterator(stream, shard, from, signal): Promise<string | undefined> {
      const { GetShardIteratorCommand } = await import('@aws-sdk/client-kinesis')
      const input = { StreamName: stream, ShardId: shard, ...iteratorType(from) }
      try {
        const { ShardIterator } = await asked('GetShardIterator', stream, () =>
          client.send(new GetShardIteratorCommand(input), options(signal)),
        )
        if (ShardIterator === undefined) throw odd('GetShardIterator', stream)
        return ShardIterator
      } catch (error) {
        // What a sequence number gets whose record has expired.
        const gone = isPseudolakeError(error, 'kinesis/refused') && error.context.reason === 'InvalidArgumentException'
        if (gone && typeof from === 'object' && 'after' in from) return undefined
        throw error
      }
    },

    async records(iterator, limit, signal, room) {
      const body = `{"ShardIterator":${JSON.stringify(iterator)},"Limit":${limit}}`
      try {
        return readRecordsAnswer(await post('GetRecords', body, signal, room))
      } catch (error) {
        const failed = kinesisFailure(error, 'GetRecords')
        if (failed.context.reason === 'ExpiredIteratorException') return 'expired'
        throw failed
      }
    },

    async put(stream, records, signal) {
      try {
        return readPutAnswer(await post('PutRecords', putBody(stream, records), signal), records.length)
      } catch (error) {
        throw kinesisFailure(error, 'PutRecords', stream)
      }
    },
  }
}

function iteratorType(from: ReadFrom) {
  if (from === 'TRIM_HORIZON' || from === 'LATEST') return { ShardIteratorType: from } as const
  if ('after' in from)
    return { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: from.after } as const
  return { ShardIteratorType: 'AT_TIMESTAMP', Timestamp: new Date(from.at) } as const
}

function options(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { abortSignal: signal }
}

async function asked<T>(action: string, stream: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw kinesisFailure(error, action, stream)
  }
}

function odd(action: string, stream: string): PseudolakeError {
  return new PseudolakeError('kinesis/unavailable', `${stream}: the answer to ${action} is incomplete`, { action })
}
