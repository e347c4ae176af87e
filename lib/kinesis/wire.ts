/**
 * GetRecords and PutRecords as they go over the wire: one signed POST each, JSON 1.1 (Smithy, "AWS JSON 1.1 protocol"). Kinesis speaks CBOR too, which
 * saves a ninth of the bytes; read by JavaScript it takes longer than `JSON.parse` and base64 by the engine.
 */
import type { Readable } from 'node:stream'
import type { KinesisClient } from '@aws-sdk/client-kinesis'
import { discard } from '../core/texts.ts'
import type { NewRecord, PutResult, RecordsAnswer, StoredRecord } from './kinesis.ts'
import { isSequence } from './records.ts'

/** @returns all headers to send */
export type SignRequest = (request: {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}) => Promise<Record<string, string>>

type Handler = KinesisClient['config']['requestHandler']
type HttpRequest = Parameters<Handler['handle']>[0]

/**
 * Sends a request of the client's own endpoint, over the client's connections.
 * @returns sends it; `room` as in the port
 * @throws an error with the name of the service's, as the SDK's are; what the connection throws
 */
export function wire(client: KinesisClient, sign: SignRequest) {
  let found: Promise<URL> | undefined
  return async (
    action: string,
    body: string,
    signal?: AbortSignal,
    room?: (bytes: number) => Promise<void>,
  ): Promise<unknown> => {
    found ??= endpointOf(client)
    const url = await found.catch((error: unknown) => {
      found = undefined
      throw error
    })
    const headers = await sign({
      method: 'POST',
      url: url.href,
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `Kinesis_20131202.${action}` },
      body,
    })
    const { protocol, hostname, port, pathname } = url
    const request = {
      method: 'POST',
      protocol,
      hostname,
      ...(port !== '' && { port: Number(port) }),
      path: pathname,
      query: {},
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      body,
    }
    const { response } = await client.config.requestHandler.handle(
      request as unknown as HttpRequest,
      signal === undefined ? {} : { abortSignal: signal },
    )
    const stream = response.body as Readable
    // While it waits nobody reads it; what becomes of it is told to who does.
    stream.on?.('error', () => undefined)
    try {
      // Until somebody has room for it, it stays where it is: in the sockets.
      await room?.(lengthOf(response.headers) ?? MAX_ANSWER_BYTES)
    } catch (error) {
      stream.destroy()
      throw error
    }
    const bytes = await collected(stream, lengthOf(response.headers))
    const text = bytes.toString('utf8')
    discard(bytes)
    if (response.statusCode === 200) return JSON.parse(text)
    throw refusal(response.statusCode, response.headers['x-amzn-errortype'], text)
  }
}

/** Of one whose length is not told: ten MiB in base64, and what is around them. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

function lengthOf(headers: Readonly<Record<string, string>>): number | undefined {
  const length = Number(headers['content-length'])
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

/** A body, in one buffer from the start where its length is told. @throws Error where it ends early */
async function collected(body: AsyncIterable<Uint8Array>, length: number | undefined): Promise<Buffer> {
  if (length === undefined) {
    const chunks: Uint8Array[] = []
    for await (const chunk of body) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  for await (const chunk of body) {
    if (at + chunk.length > length) throw new Error('the answer is longer than it should be')
    whole.set(chunk, at)
    at += chunk.length
  }
  if (at < length) throw new Error('the answer ends early')
  return whole
}

async function endpointOf({ config }: KinesisClient): Promise<URL> {
  if (config.endpoint !== undefined) {
    const { protocol, hostname, port, path } = await config.endpoint()
    return new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
  }
  return config.endpointProvider({
    Region: await config.region(),
    UseDualStack: await config.useDualstackEndpoint(),
    UseFIPS: await config.useFipsEndpoint(),
  }).url
}

/** `com.amazonaws.kinesis#ExpiredIteratorException:http://…` is named `ExpiredIteratorException`. */
function refusal(status: number, header: string | undefined, text: string): Error {
  let type: unknown = header
  try {
    type ??= (JSON.parse(text) as { __type?: unknown }).__type
  } catch {
    // Something on the way answered, a proxy say: its status has to do.
  }
  const name = /([A-Za-z]+)(?::|$)/.exec(String(type ?? '').replace(/^.*#/, ''))?.[1]
  return Object.assign(new Error('refused'), { name: name ?? 'Error', $metadata: { httpStatusCode: status } })
}

/** A record as JSON has it. */
interface WireRecord {
  readonly SequenceNumber: string
  readonly ApproximateArrivalTimestamp?: number
  readonly Data: string
  readonly PartitionKey: string
}

/** @throws Error where it is not the answer that it should be */
export function readRecordsAnswer(answer: unknown): RecordsAnswer {
  const { Records, NextShardIterator, MillisBehindLatest, ChildShards } = answer as {
    readonly Records: readonly WireRecord[]
    readonly NextShardIterator?: string | null
    readonly MillisBehindLatest?: number
    readonly ChildShards?: readonly { readonly ShardId: string }[] | null
  }
  if (!Array.isArray(Records)) throw new Error('no records in the answer')
  let bytes = 0
  const records = Records.map(
    ({
      SequenceNumber: sequence,
      ApproximateArrivalTimestamp: seconds = 0,
      Data,
      PartitionKey: partitionKey,
    }): StoredRecord => {
      if (!isSequence(sequence)) throw new Error('no sequence number')
      const data = Buffer.from(Data, 'base64')
      bytes += data.length + partitionKey.length
      return { sequence, arrivalMs: Math.round(seconds * 1000), partitionKey, data }
    },
  )
  return {
    records,
    next: NextShardIterator ?? undefined,
    behindMs: MillisBehindLatest ?? 0,
    bytes,
    children: (ChildShards ?? []).map(({ ShardId }) => ShardId),
  }
}

export function putBody(stream: string, records: readonly NewRecord[]): string {
  const entries = records.map(({ partitionKey, data }) => {
    const base64 = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
    return `{"Data":"${base64}","PartitionKey":${JSON.stringify(partitionKey)}}`
  })
  return `{"StreamName":${JSON.stringify(stream)},"Records":[${entries.join(',')}]}`
}

/** @throws Error where it does not have a result for each of the `count` records */
export function readPutAnswer(answer: unknown, count: number): PutResult[] {
  const { Records } = answer as {
    readonly Records?: readonly { SequenceNumber?: string | null; ShardId?: string | null; ErrorCode?: string | null }[]
  }
  if (!Array.isArray(Records) || Records.length !== count) throw new Error('another number of results')
  return Records.map(({ SequenceNumber, ShardId, ErrorCode }): PutResult => {
    if (ErrorCode) return { error: String(ErrorCode) }
    return { shard: String(ShardId), sequence: String(SequenceNumber) }
  })
}
