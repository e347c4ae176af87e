import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-local-writer-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('parts of any length stand one behind the other, and nothing stands there before the end', async () => {
  const path = join(dir, 'parts/file')
  const writer = await localStorage().write(path)
  const parts = [1, 0, 70_000, (1 << 20) + 1, 5, 3 << 20, 1 << 20].map((length, i) => Buffer.alloc(length, i + 1))
  for (const part of parts) await writer.write(part)
  expect(readdirSync(join(dir, 'parts')).filter((name) => !name.startsWith('_'))).toEqual([])
  const { bytes } = await writer.close()
  expect(bytes).toBe(writer.bytes)
  expect(readFileSync(path).equals(Buffer.concat(parts))).toBe(true)
})

test('who writes much lets others have their turn', async () => {
  const writer = await localStorage().write(join(dir, 'much'))
  let turns = 0
  const count = () => {
    turns++
    next = setImmediate(count)
  }
  let next = setImmediate(count)
  const part = Buffer.alloc(1 << 18)
  for (let written = 0; written < 40 << 20; written += part.length) await writer.write(part)
  clearImmediate(next)
  await writer.abort()
  expect(turns).toBeGreaterThanOrEqual(9)
})
