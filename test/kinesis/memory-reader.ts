/** Reads a stream to its tip, slowly, in a process of its own: `node memory-reader.ts URL MAX_BYTES`; prints records, bytes and peak memory. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../lib/core/clock.ts'
import { openConsumer } from '../../lib/kinesis/consumer.ts'
import { firstPositions } from '../../lib/kinesis/positions.ts'
import { kinesisAt } from '../helpers/kinesis/connect.ts'

const [url = '', maxBytes] = process.argv.slice(2)
const kinesis = kinesisAt(url)
const clock = systemClock()
const positions = firstPositions(await kinesis.describe('s'), await kinesis.shards('s'), 'TRIM_HORIZON', Date.now())
const pace = { busyMs: 0, idleMs: 20, bytesPerSecond: Number.POSITIVE_INFINITY }
const consumer = await openConsumer({
  ...{ kinesis, stream: 's', positions, clock, random: Math.random, pace, maxBytes: Number(maxBytes) },
})
let [records, bytes] = [0, 0]
while (!consumer.caughtUp()) {
  const batch = await consumer.next(50)
  records += batch?.records.length ?? 0
  for (const { data } of batch?.records ?? []) bytes += data.length
  // Who works on a batch for so long is far slower than the reads.
  if (batch?.records.length) await sleep(20)
}
await consumer.close()
// What getrusage tells begins with the memory of who started this process.
const [, peakKb] = /VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
process.stdout.write(JSON.stringify({ records, bytes, peakMb: Number(peakKb) / 1024 }))
process.exit(0)
