import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'

const disk = vi.hoisted(() => ({ calls: 0, lateMs: 0 }))
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const writeSync = (...given: unknown[]) => {
    disk.calls++
    if (disk.lateMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, disk.lateMs)
    return Reflect.apply(fs.writeSync, undefined, given)
  }
  return { ...fs, default: fs, writeSync }
})

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-late-disk-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('after a write that waited for the disk the next one waits in another thread', async () => {
  const writer = await localStorage().write(join(dir, 'file'))
  disk.lateMs = 60
  await writer.write(Buffer.alloc(1000, 1))
  expect(disk.calls).toBe(1)
  await writer.write(Buffer.alloc(1000, 2))
  expect(disk.calls).toBe(1)
  await writer.close()
  expect(readFileSync(join(dir, 'file')).equals(Buffer.concat([1, 2].map((one) => Buffer.alloc(1000, one))))).toBe(true)
})
