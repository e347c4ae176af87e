/** However large an object is, reading and writing it take the memory that was given for that. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { type FakeS3, fakeS3 } from '../helpers/s3/fake.ts'

const run = promisify(execFile)
const MB = 2 ** 20

/** An object whose bytes are made when they are read. */
function large(fake: FakeS3, key: string, bytes: number): string {
  const zeros = new Uint8Array(8 * MB)
  fake.buckets.get('bucket')?.objects.set(key, {
    content: { bytes, read: (start, end) => zeros.subarray(0, end - start) },
    etag: 'made',
    modified: new Date(),
    metadata: {},
    encryption: {},
  })
  return `s3://bucket/${key}`
}

interface Report {
  readonly bytes: number
  readonly before: number
  readonly mb: number
}

test('a gigabyte goes through in the memory of a tenth of it', { timeout: 120_000 }, async () => {
  const fake = await fakeS3(['bucket'], { forget: true })
  onTestFinished(() => fake.close())
  const through = async (megabytes: number): Promise<Report> => {
    const from = large(fake, `from-${megabytes}`, megabytes * MB)
    const to = `s3://bucket/to-${megabytes}`
    const { stdout } = await run(process.execPath, ['test/regression/memory-s3-run.ts', fake.endpoint, from, to])
    return JSON.parse(stdout) as Report
  }
  const small = await through(100)
  const gigabyte = await through(1024)
  expect(gigabyte.bytes).toBe(1024 * MB)
  expect(fake.buckets.get('bucket')?.objects.get('to-1024')?.content.bytes).toBe(1024 * MB)
  expect(gigabyte.mb).toBeLessThan(small.mb + 60)
  // 40 MiB of parts, and as much that was read ahead.
  expect(gigabyte.mb - gigabyte.before).toBeLessThan(180)
})
