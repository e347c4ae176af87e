/**
 * What reading and putting records costs this process, the Kinesis server in another one: CPU a record, beside the SDK's own client over the
 * same connection. `node benchmarks/kinesis/main.ts [RECORDS]`
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { GetRecordsCommand, type KinesisClient } from '@aws-sdk/client-kinesis'
import { openAws } from '../../lib/aws/clients.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { awsKinesis } from '../../lib/kinesis/aws.ts'
import { openConsumer } from '../../lib/kinesis/consumer.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import { firstPositions } from '../../lib/kinesis/positions.ts'
import { produce } from '../../producer/index.ts'

const ENV = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench' }
const wanted = Number(process.argv[2] ?? 2_000_000)
const clock = systemClock()

/** Over a server of its own. */
async function over<T>(
  shards: number,
  perAnswer: number,
  run: (kinesis: Kinesis, client: KinesisClient) => Promise<T>,
): Promise<T> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const server = spawn(process.execPath, [script, String(shards), String(perAnswer)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [port] = (await once(server.stdout, 'data')) as [Buffer]
  const aws = openAws({ env: ENV })
  const settings = { region: 'eu-west-1', endpoints: { kinesis: `http://127.0.0.1:${String(port).trim()}` } }
  try {
    const client = await aws.kinesis(settings)
    return await run(awsKinesis({ client, sign: await aws.sign(settings, 'kinesis') }), client)
  } finally {
    await aws.close()
    server.kill()
  }
}

async function measured(name: string, run: () => Promise<number>): Promise<void> {
  const [wall, cpu] = [clock.now(), process.cpuUsage()]
  const records = await run()
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (clock.now() - wall) / 1000
  const micros = (user + system) / records
  const rate = Math.round(records / seconds).toLocaleString('en')
  console.log(`${name.padEnd(44)} ${micros.toFixed(2)} µs CPU a record, ${rate} a second`)
}

const consume = (kinesis: Kinesis, limit: number) => async () => {
  const positions = firstPositions(await kinesis.describe('s'), await kinesis.shards('s'), 'TRIM_HORIZON', clock.wall())
  const pace = { busyMs: 0, idleMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY }
  const consumer = await openConsumer({ kinesis, stream: 's', positions, clock, random: Math.random, pace })
  let records = 0
  let bytes = 0
  while (records < limit) {
    const batch = await consumer.next()
    for (const { data } of batch?.records ?? []) bytes += data.length
    records += batch?.records.length ?? 0
  }
  await consumer.close()
  if (bytes < records * 70 || bytes > records * 90) throw new Error('these are not the records')
  return records
}

await over(8, 10_000, async (kinesis, client) => {
  await consume(kinesis, wanted / 4)()
  for (let round = 0; round < 3; round++) {
    await measured('consumer, 10,000 records an answer', consume(kinesis, wanted))
    await measured('SDK: GetRecords alone, 10,000 an answer', async () => {
      let records = 0
      while (records < wanted / 4) {
        const { Records = [] } = await client.send(new GetRecordsCommand({ ShardIterator: 'first' }))
        records += Records.length
      }
      return records
    })
    const options = { stream: 's', batch: 500, threads: 4, records: wanted / 4 }
    await measured('producer, batches of 500, 4 threads', async () => {
      return (await produce(options, { kinesis, clock, random: Math.random })).records
    })
  }
})
await over(64, 100, async (kinesis) => {
  await measured('consumer, 100 records an answer', consume(kinesis, wanted / 10))
})
