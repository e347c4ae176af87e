/**
 * A store of test/helpers/s3 in a process of its own, for measuring: its work is not that of the run. It holds what is put there, and one file
 * under as many keys of the bucket `bucket` as are asked for.
 *
 *   node benchmarks/s3/server.ts [--objects N --file F] [--latency MS]
 *
 * Prints its address; for each line that it is sent, a line of JSON: the requests since the last one, by operation.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { fakeS3 } from '../../test/helpers/s3/fake.ts'
import { contentOf } from '../../test/helpers/s3/objects.ts'
import { keyOf } from './keys.ts'

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '0' },
    file: { type: 'string' },
    latency: { type: 'string', default: '0' },
  },
})

const store = await fakeS3(['bucket', 'raw', 'lake'], { latencyMs: Number(values.latency) })
if (values.file !== undefined) {
  const content = contentOf(readFileSync(values.file))
  const about = { content, modified: new Date('2026-01-02T03:04:05Z'), metadata: {}, encryption: {} }
  for (let i = 0; i < Number(values.objects); i++)
    store.buckets.get('bucket')?.objects.set(keyOf(i), { ...about, etag: i.toString(16).padStart(32, '0') })
}
process.stdout.write(`${store.endpoint}\n`)

let told = 0
for await (const _ of createInterface({ input: process.stdin })) {
  const counts: Record<string, number> = {}
  for (const { operation } of store.asked.slice(told)) counts[operation] = (counts[operation] ?? 0) + 1
  told = store.asked.length
  process.stdout.write(`${JSON.stringify(counts)}\n`)
}
await store.close()
