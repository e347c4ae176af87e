/** Brings an object of gigabytes through this process, from one key of a store to another, in a process of its own. */
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { rangeReader } from '../../lib/parquet/ranges.ts'
import { s3Over } from '../helpers/s3/open.ts'

keepHeapSmall()
const [endpoint = '', from = '', to = ''] = process.argv.slice(2)
const storage = s3Over(endpoint)
const object = await storage.stat(from)
const before = process.resourceUsage().maxRSS / 1024
const reader = rangeReader(storage, object, [[0, object.bytes]])
const writer = await storage.write(to)
const STEP = 3_000_000
for (let at = 0; at < object.bytes; at += STEP)
  await writer.write(await reader.read(at, Math.min(object.bytes, at + STEP)))
const { bytes } = await writer.close()
console.log(JSON.stringify({ bytes, before, mb: process.resourceUsage().maxRSS / 1024 }))
