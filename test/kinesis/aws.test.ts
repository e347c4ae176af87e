import { KinesisClient } from '@aws-sdk/client-kinesis'
import { expect, onTestFinished, test } from 'vitest'
import { failure } from '../../cli/output/failure.ts'
import { openAws } from '../../lib/aws/clients.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { seeded } from '../../lib/core/random.ts'
import { awsKinesis } from '../../lib/kinesis/aws.ts'
import { openConsumer } from '../../lib/kinesis/consumer.ts'
import { advance, firstPositions } from '../../lib/kinesis/positions.ts'
import { type KinesisFake, kinesisFake } from '../helpers/kinesis/fake.ts'

const PLANTED = 'PLANTED-7f3a'

async function fakeStream(options: Parameters<typeof kinesisFake>[0] = {}, shards = 1): Promise<KinesisFake> {
  const fake = await kinesisFake(options)
  fake.memory.createStream('s', shards)
  return fake
}

test.each([
  ['ProvisionedThroughputExceededException', 'kinesis/throttled'],
  ['LimitExceededException', 'kinesis/throttled'],
  ['KMSThrottlingException', 'kinesis/throttled'],
  ['AccessDeniedException', 'kinesis/denied'],
  ['KMSDisabledException', 'kinesis/denied'],
  ['KMSAccessDeniedException', 'kinesis/denied'],
  ['KMSInvalidStateException', 'kinesis/denied'],
  ['KMSNotFoundException', 'kinesis/denied'],
  ['ResourceNotFoundException', 'kinesis/not-found'],
  ['ValidationException', 'kinesis/refused'],
  ['UnrecognizedClientException', 'aws/no-credentials'],
  ['ExpiredTokenException', 'aws/no-credentials'],
  ['500', 'kinesis/unavailable'],
  ['reset', 'kinesis/unavailable'],
  ['lost', 'kinesis/unavailable'],
] as const)('%s is told as %s, by each request, without a word of what was sent', async (fault, code) => {
  const fake = await fakeStream()
  const kinesis = fake.kinesis()
  const iterator = (await kinesis.iterator('s', 'shardId-000000000000', 'TRIM_HORIZON')) as string
  const asks: Record<string, () => Promise<unknown>> = {
    DescribeStreamSummary: () => kinesis.describe('s'),
    ListShards: () => kinesis.shards('s'),
    GetShardIterator: () => kinesis.iterator('s', 'shardId-000000000000', 'TRIM_HORIZON'),
    GetRecords: () => kinesis.records(iterator, 10),
    PutRecords: () => kinesis.put('s', [{ partitionKey: PLANTED, data: Buffer.from(PLANTED) }]),
  }
  for (const [action, ask] of Object.entries(asks)) {
    fake.fault(action, fault)
    const error = await ask().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error, action).toMatchObject({ code })
    const { text, json } = failure(error)
    expect(text + JSON.stringify(json)).not.toContain(PLANTED)
    if (code !== 'aws/no-credentials') expect(text).toContain(action)
  }
  // Each was asked once: who calls has retries of its own.
  expect(fake.calls).toHaveLength(Object.keys(asks).length + 1)
})

test('an iterator that has expired is told as such, and so is a position whose record is gone', async () => {
  const fake = await fakeStream({ iteratorMs: 0 })
  const kinesis = fake.kinesis()
  const iterator = (await kinesis.iterator('s', 'shardId-000000000000', 'TRIM_HORIZON')) as string
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(await kinesis.records(iterator, 10)).toBe('expired')
  fake.fault('GetShardIterator', 'InvalidArgumentException', 2)
  expect(await kinesis.iterator('s', 'shardId-000000000000', { after: '1' })).toBeUndefined()
  await expect(kinesis.iterator('s', 'shardId-000000000000', 'LATEST')).rejects.toMatchObject({
    code: 'kinesis/refused',
  })
})

test('five hundred shards come in pages', async () => {
  const fake = await fakeStream({}, 501)
  const shards = await fake.kinesis().shards('s')
  expect(new Set(shards.map(({ id }) => id)).size).toBe(501)
  expect(fake.calls).toEqual(Array(6).fill('ListShards'))
})

test('who leaves does not wait for an answer', async () => {
  const fake = await fakeStream()
  const kinesis = fake.kinesis()
  const iterator = (await kinesis.iterator('s', 'shardId-000000000000', 'LATEST')) as string
  fake.fault('GetRecords', 'silent')
  const leaving = new AbortController()
  const asked = kinesis.records(iterator, 10, leaving.signal)
  while (fake.calls.at(-1) !== 'GetRecords') await new Promise((resolve) => setTimeout(resolve, 5))
  leaving.abort()
  await expect(asked).rejects.toThrow()
})

test.each([
  [{ region: 'eu-west-1' }, 'https://kinesis.eu-west-1.amazonaws.com/'],
  [{ region: 'cn-north-1' }, 'https://kinesis.cn-north-1.amazonaws.com.cn/'],
  [{ region: 'eu-west-1', useDualstackEndpoint: true }, 'https://kinesis.eu-west-1.api.aws/'],
  [{ region: 'us-east-1', useFipsEndpoint: true }, 'https://kinesis-fips.us-east-1.amazonaws.com/'],
  [{ region: 'eu-west-1', endpoint: 'http://127.0.0.1:4568' }, 'http://127.0.0.1:4568/'],
])('records are asked for where the SDK asks for everything else: %o', async (settings, url) => {
  const asked: string[] = []
  const client = new KinesisClient({
    ...settings,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    maxAttempts: 1,
    requestHandler: {
      async handle({ protocol, hostname, port, path }: URLParts) {
        asked.push(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
        throw new Error('no network here')
      },
    },
  })
  const kinesis = awsKinesis({ client, sign: async ({ headers }) => ({ ...headers }) })
  await expect(kinesis.records('i', 1)).rejects.toThrow()
  await expect(kinesis.put('s', [])).rejects.toThrow()
  await expect(kinesis.iterator('s', 'shard', 'LATEST')).rejects.toThrow()
  expect(asked).toEqual([url, url, url])
})

test('an answer that is none is a failure of the service, not an empty one', async () => {
  for (const body of ['', 'hello', '{}', '{"Records":[{"Data":"","PartitionKey":"k"}]}', '{"Records":null}']) {
    const client = answering(body)
    const kinesis = awsKinesis({ client, sign: async ({ headers }) => ({ ...headers }) })
    await expect(kinesis.records('i', 1), body).rejects.toMatchObject({ code: 'kinesis/unavailable' })
    const put = kinesis.put('s', [
      { partitionKey: 'k', data: Buffer.from('') },
      { partitionKey: 'l', data: Buffer.from('') },
    ])
    await expect(put, body).rejects.toMatchObject({ code: 'kinesis/unavailable' })
  }
})

interface URLParts {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
}

test('an answer that is shorter or longer than it says is none', async () => {
  for (const length of ['10', '40']) {
    const client = answering('{"Records":[],"NextShardIterator":"i"}'.slice(0, 30), { 'content-length': length })
    const kinesis = awsKinesis({ client, sign: async ({ headers }) => ({ ...headers }) })
    await expect(kinesis.records('i', 1)).rejects.toMatchObject({ code: 'kinesis/unavailable' })
  }
})

test('an answer is read when there is room for it, and not before', async () => {
  const fake = await fakeStream()
  const data = Buffer.alloc(900_000, 'x')
  for (let i = 0; i < 8; i++) fake.memory.append('s', 'shardId-000000000000', { partitionKey: 'k', data })
  const kinesis = fake.kinesis()
  const iterator = (await kinesis.iterator('s', 'shardId-000000000000', 'TRIM_HORIZON')) as string
  let told = 0
  let enter = () => {}
  let done = false
  const room = (bytes: number) => {
    told = bytes
    return new Promise<void>((resolve) => {
      enter = resolve
    })
  }
  const asked = kinesis.records(iterator, 10, undefined, room).finally(() => {
    done = true
  })
  while (told === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(told).toBeGreaterThan((8 * data.length * 4) / 3)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(done).toBe(false)
  enter()
  expect(await asked).toMatchObject({ records: { length: 8 } })
  const refused = kinesis.records(iterator, 10, undefined, () => Promise.reject(new Error('said by the test')))
  await expect(refused).rejects.toThrow()
  expect(await kinesis.records(iterator, 10)).toMatchObject({ records: { length: 8 } })
})

function answering(body: string, headers: Record<string, string> = {}): KinesisClient {
  return new KinesisClient({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    requestHandler: {
      handle: async () => ({ response: { statusCode: 200, headers, body: [Buffer.from(body)] } as never }),
    },
  })
}

test('through lib/aws: endpoint, region and keys of the environment, over its own connections', async () => {
  const fake = await fakeStream()
  const aws = openAws({ env: { ...fake.env, AWS_REGION: undefined } })
  onTestFinished(() => aws.close())
  const kinesis = awsKinesis({ client: await aws.kinesis({}), sign: await aws.sign({}, 'kinesis') })
  expect(await kinesis.describe('s')).toMatchObject({ name: 's' })
  expect(await kinesis.put('s', [{ partitionKey: 'k', data: Buffer.from('x') }])).toMatchObject([
    { shard: 'shardId-000000000000' },
  ])
  const iterator = (await kinesis.iterator('s', 'shardId-000000000000', 'TRIM_HORIZON')) as string
  expect(await kinesis.records(iterator, 5)).toMatchObject({ records: [{ partitionKey: 'k' }], behindMs: 0 })
})

test('with a fault in every third request, expiring iterators and reshards, all records come once and in order', {
  timeout: 60_000,
}, async () => {
  const random = seeded(20_261_126)
  const fake = await fakeStream({ iteratorMs: 60 }, 3)
  const faults = ['ProvisionedThroughputExceededException', 'ExpiredIteratorException', '500', 'reset', 'lost', 'ended']
  fake.chance = (action) => {
    if (random.below(3) > 0) return undefined
    const fault = faults[random.below(faults.length)] as string
    return action !== 'GetRecords' && ['ExpiredIteratorException', 'ended'].includes(fault) ? undefined : fault
  }
  const kinesis = fake.kinesis()
  const description = await fake.memory.describe('s')
  let positions = firstPositions(description, await fake.memory.shards('s'), 'TRIM_HORIZON', Date.now())
  const rows: string[] = []
  let put = 0
  const pace = { busyMs: 1, idleMs: 5, backoffMs: 2, maxBackoffMs: 20 }
  for (let run = 0; run < 12; run++) {
    const consumer = await openConsumer({
      ...{ kinesis, stream: 's', positions, pace, clock: systemClock(), random: random.unit },
      ...{ limit: 7, resyncMs: 30 },
    })
    for (let i = 0; i < 50; i++, put++)
      await fake.memory.put('s', [{ partitionKey: `k${put % 13}`, data: Buffer.from(`k${put % 13} ${put}`) }])
    const open = (await fake.memory.shards('s')).filter(({ closed }) => !closed)
    if (run % 4 === 1) fake.memory.split('s', open[random.below(open.length)]?.id as string)
    const batches = run < 11 ? random.below(20) : Number.POSITIVE_INFINITY
    for (let i = 0; i < batches && !consumer.caughtUp(); ) {
      const batch = await consumer.next(20)
      if (batch === undefined) continue
      i++
      rows.push(...batch.records.map(({ data }) => Buffer.from(data).toString()))
      positions = consumer.pruned(advance(positions, batch.shard, batch.position))
      consumer.committed(positions)
    }
    // What comes after this is not committed.
    await consumer.close()
  }
  expect(rows.map((row) => Number(row.split(' ')[1])).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: put }, (_, i) => i),
  )
  const last = new Map<string, number>()
  for (const row of rows) {
    const [key = '', number] = row.split(' ')
    expect(Number(number)).toBeGreaterThan(last.get(key) ?? -1)
    last.set(key, Number(number))
  }
})
