/** Servers of other makers that speak Kinesis, on loopback, with the seldom requests that tests make of them. */
import { join } from 'node:path'
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  MergeShardsCommand,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis'
import { KINESIS } from '../interop.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { clientOf } from './connect.ts'

export interface KinesisServer extends ServerProcess {
  readonly url: string
  client(): KinesisClient
}

/** Ends a shard with its last records, and names the children. */
export async function kinesisLocal(): Promise<KinesisServer> {
  const folder = join(KINESIS, 'kinesis-local')
  const durations = ['CREATE_STREAM', 'DELETE_STREAM', 'SPLIT_SHARD', 'MERGE_SHARDS', 'UPDATE_SHARD_COUNT']
  const server = await startServer({
    command: process.execPath,
    args: () => ['main.js'],
    // It reads its certificate from there.
    cwd: folder,
    env: (port) => ({
      KINESIS_MOCK_PLAIN_PORT: String(port),
      // Not asked, and any other would be taken by the next one.
      KINESIS_MOCK_TLS_PORT: '0',
      SHARD_LIMIT: '1000',
      LOG_LEVEL: 'ERROR',
      ...Object.fromEntries(durations.map((name) => [`${name}_DURATION`, '10ms'])),
    }),
    ready: (port) => `http://127.0.0.1:${port}/healthcheck`,
  })
  return speaking(server)
}

/** Ends a shard in an empty answer after its last records, and names no children. */
export async function kinesalite(): Promise<KinesisServer> {
  const ms = '10'
  const server = await startServer({
    command: process.execPath,
    args: (port) => [
      join(KINESIS, 'kinesalite', 'cli.js'),
      ...['--port', String(port), '--shardLimit', '1000'],
      ...['--createStreamMs', ms, '--deleteStreamMs', ms, '--updateStreamMs', ms],
    ],
    ready: (port) => `http://127.0.0.1:${port}/`,
  })
  return speaking(server)
}

function speaking(server: ServerProcess): KinesisServer {
  const url = `http://127.0.0.1:${server.port}`
  return { ...server, url, client: () => clientOf(url) }
}

/** What changes streams, at whatever speaks Kinesis; each done when it has taken effect. */
export interface StreamAdmin {
  create(stream: string, shards: number): Promise<void>
  remove(stream: string): Promise<void>
  /** In the middle of its keys. @param keys the shard's */
  split(stream: string, shard: string, keys: { readonly from: bigint; readonly to: bigint }): Promise<void>
  merge(stream: string, shard: string, adjacent: string): Promise<void>
}

export function adminOf(client: KinesisClient): StreamAdmin {
  const until = async (stream: string, status: string) => {
    for (;;) {
      const found = await client.send(new DescribeStreamSummaryCommand({ StreamName: stream })).then(
        (answer) => answer.StreamDescriptionSummary?.StreamStatus ?? 'none',
        (error: Error) => {
          if (error.name === 'ResourceNotFoundException') return 'none'
          throw error
        },
      )
      if (found === status) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return {
    async create(stream, shards) {
      await client.send(new CreateStreamCommand({ StreamName: stream, ShardCount: shards }))
      await until(stream, 'ACTIVE')
    },
    async remove(stream) {
      await client.send(new DeleteStreamCommand({ StreamName: stream }))
      await until(stream, 'none')
    },
    async split(stream, shard, { from, to }) {
      const middle = String((from + to) / 2n + 1n)
      await client.send(new SplitShardCommand({ StreamName: stream, ShardToSplit: shard, NewStartingHashKey: middle }))
      await until(stream, 'ACTIVE')
    },
    async merge(stream, shard, adjacent) {
      await client.send(
        new MergeShardsCommand({ StreamName: stream, ShardToMerge: shard, AdjacentShardToMerge: adjacent }),
      )
      await until(stream, 'ACTIVE')
    },
  }
}
