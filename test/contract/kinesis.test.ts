/** Kinesis in memory, over HTTP by the SDK, and over real servers, where they are installed. */
import { afterAll } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { memoryKinesis } from '../../lib/kinesis/memory.ts'
import { interop } from '../helpers/interop.ts'
import { kinesisAt } from '../helpers/kinesis/connect.ts'
import { kinesisFake } from '../helpers/kinesis/fake.ts'
import { adminOf, type KinesisServer, kinesalite, kinesisLocal, type StreamAdmin } from '../helpers/kinesis/servers.ts'
import { kinesisContract } from './kinesis.suite.ts'

const started: Promise<KinesisServer>[] = []
afterAll(async () => {
  for (const server of started) await (await server).stop()
})

for (const end of ['with-records', 'after-records'] as const)
  kinesisContract(`memory, the end of a shard ${end}`, async () => {
    const memory = memoryKinesis({ clock: systemClock(), end })
    const admin: StreamAdmin = {
      create: async (stream, shards) => memory.createStream(stream, shards),
      remove: async (stream) => memory.deleteStream(stream),
      split: async (stream, shard) => void memory.split(stream, shard),
      merge: async (stream, shard, adjacent) => void memory.merge(stream, shard, adjacent),
    }
    return { kinesis: memory, admin }
  })

kinesisContract('the fake, by the SDK', async () => {
  const fake = await kinesisFake()
  return { kinesis: fake.kinesis(), admin: adminOf(fake.client()) }
})

for (const [name, start] of [
  ['kinesis-local', kinesisLocal],
  ['kinesalite', kinesalite],
] as const) {
  let server: Promise<KinesisServer> | undefined
  kinesisContract(
    name,
    async () => {
      if (server === undefined) {
        server = start()
        started.push(server)
      }
      const { url, client } = await server
      return { kinesis: kinesisAt(url), admin: adminOf(client()) }
    },
    { presence: interop(name), iteratorsOutlive: name === 'kinesalite' },
  )
}
