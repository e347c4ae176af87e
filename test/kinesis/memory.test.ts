import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { kinesisFake } from '../helpers/kinesis/fake.ts'

const RECORDS = 480
const MEBIBYTE = 1024 * 1024

test('memory stays below its bound however much a stream holds, and however slow its reader is', {
  timeout: 120_000,
}, async () => {
  const fake = await kinesisFake()
  fake.memory.createStream('s', 8)
  // Half a gigabyte, in answers of ten MiB.
  const data = Buffer.alloc(MEBIBYTE - 64, 'x')
  for (let i = 0; i < RECORDS; i++)
    fake.memory.append('s', `shardId-${String(i % 8).padStart(12, '0')}`, { partitionKey: 'k', data })
  const words = [resolve('test/kinesis/memory-reader.ts'), fake.url, String(64 * MEBIBYTE)]
  const { stdout } = await promisify(execFile)(process.execPath, words)
  const { records, bytes, peakMb } = JSON.parse(stdout) as { records: number; bytes: number; peakMb: number }
  expect([records, bytes]).toEqual([RECORDS, RECORDS * data.length])
  // 241 to 279 of them, some 90 for Node and the SDK.
  expect(peakMb).toBeLessThan(320)
})
