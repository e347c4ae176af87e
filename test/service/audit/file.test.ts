import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type { AuditEntry } from '../../../service/audit/audit.ts'
import { fileAudit } from '../../../service/audit/file.ts'
import { verifyAudit } from '../../../service/audit/verify.ts'
import { folder } from '../keyrings.ts'

const entry = (request_id: string): AuditEntry => ({
  request_id,
  caller: 'a',
  direction: 'reidentify',
  domain: 'default',
  keys: ['5kl9'],
  values: 1,
  outcome: 'answered',
})
const options = { now: () => 0, randomBytes }

test('entries of many calls at once are all there, in order, in one chain', async () => {
  const dir = join(folder(), 'a', 'b')
  const audit = await fileAudit(dir, options)
  await Promise.all(Array.from({ length: 300 }, (_, i) => audit.record(entry(`r${i}`), { durable: i % 3 === 0 })))
  await audit.record(entry('last'), { durable: false })
  await audit.close()
  const [name = ''] = readdirSync(dir)
  const text = readFileSync(join(dir, name), 'utf8')
  expect(verifyAudit(text)).toEqual({ entries: 301 })
  const ids = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line).request_id)
  expect(ids).toEqual([...Array.from({ length: 300 }, (_, i) => `r${i}`), 'last'])
})

test('a durable entry is flushed before its promise resolves, another one need not be', async () => {
  const dir = folder()
  const handle = await openFile(join(dir, 'x'), 'w')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  const audit = await fileAudit(join(dir, 'audit'), options)
  const flush = vi.spyOn(prototype, 'datasync')
  await audit.record(entry('a'), { durable: false })
  expect(flush).toHaveBeenCalledTimes(0)
  await audit.record(entry('b'), { durable: true })
  expect(flush).toHaveBeenCalledTimes(1)
  flush.mockRejectedValueOnce(Object.assign(new Error('disk'), { code: 'EIO' }))
  await expect(audit.record(entry('c'), { durable: true })).rejects.toThrow('disk')
  flush.mockRestore()
  await audit.record(entry('d'), { durable: true })
  await audit.close()
})

test('after a failed write the record goes on in a new file, which names the last line that held', async () => {
  const dir = join(folder(), 'audit')
  const handle = await openFile(join(folder(), 'x'), 'w')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  let time = 0
  const audit = await fileAudit(dir, { ...options, now: () => time++ * 1000 })
  await audit.record(entry('a'), { durable: true })
  const append = vi.spyOn(prototype, 'appendFile').mockRejectedValueOnce(new Error('full'))
  await expect(audit.record(entry('b'), { durable: true })).rejects.toThrow('full')
  append.mockRestore()
  await audit.record(entry('c'), { durable: true })
  await audit.close()
  const texts = readdirSync(dir)
    .sort()
    .map((name) => readFileSync(join(dir, name), 'utf8'))
  expect(texts.map(verifyAudit)).toEqual([{ entries: 1 }, { entries: 1 }])
  expect(verifyAudit(texts.join(''))).toEqual({ entries: 3 })
})

test('two processes write to files of their own', async () => {
  const dir = folder()
  const both = await Promise.all([fileAudit(dir, options), fileAudit(dir, options)])
  await Promise.all(both.map((audit) => audit.close()))
  expect(readdirSync(dir)).toHaveLength(2)
})

test('an entry after the end is refused', async () => {
  const audit = await fileAudit(folder(), options)
  await audit.close()
  await expect(audit.record(entry('a'), { durable: false })).rejects.toThrow(/closed/)
})

test('a folder that is a file is an error at the start', async () => {
  const dir = folder()
  await (await openFile(join(dir, 'x'), 'w')).close()
  await expect(fileAudit(join(dir, 'x'), options)).rejects.toMatchObject({ code: 'storage/denied' })
  mkdirSync(join(dir, 'y'))
  chmodSync(join(dir, 'y'), 0o700)
  await (await fileAudit(join(dir, 'y'), options)).close()
})

test.skipIf(process.platform !== 'linux')('a folder that can’t be made is an error at once', async () => {
  await expect(fileAudit('/proc/none/audit', options)).rejects.toMatchObject({ code: 'storage/denied' })
})

test('when the file is removed the record goes on in a new one, which names the line before', async () => {
  const dir = join(folder(), 'audit')
  let time = 0
  const audit = await fileAudit(dir, { ...options, now: () => time++ * 1000 })
  await audit.record(entry('a'), { durable: true })
  const [name = ''] = readdirSync(dir)
  const gone = readFileSync(join(dir, name), 'utf8')
  rmSync(dir, { recursive: true })
  await audit.record(entry('b'), { durable: true })
  await audit.close()
  const [next = ''] = readdirSync(dir)
  expect(verifyAudit(gone + readFileSync(join(dir, next), 'utf8'))).toEqual({ entries: 3 })
})
