import { mkdtempSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-files-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const open = () => readdirSync('/proc/self/fd').length

test.skipIf(process.platform !== 'linux')('few files stay open, however many are read', async () => {
  const dir = folder()
  const storage = localStorage()
  const before = open()
  for (let i = 0; i < 100; i++) {
    writeFileSync(join(dir, `${i}`), `content ${i}`)
    const object = await storage.stat(join(dir, `${i}`))
    const bytes = await storage.read(object.location, { start: 8, ifMatch: object.version })
    expect(Buffer.from(bytes).toString()).toBe(`${i}`)
  }
  expect(open() - before).toBeLessThanOrEqual(17)
})

test('a file that was written anew is read as it is now, or not at all by who wants the old one', async () => {
  const path = join(folder(), 'x')
  const storage = localStorage()
  writeFileSync(path, 'first')
  const first = await storage.stat(path)
  await storage.read(path, { ifMatch: first.version })
  unlinkSync(path)
  writeFileSync(path, 'second')
  await expect(storage.read(path, { ifMatch: first.version })).rejects.toMatchObject({ code: 'storage/changed' })
  expect(Buffer.from(await storage.read(path)).toString()).toBe('second')
  writeFileSync(path, 'third, in place')
  expect(Buffer.from(await storage.read(path)).toString()).toBe('third, in place')
  unlinkSync(path)
  await expect(storage.read(path)).rejects.toMatchObject({ code: 'storage/not-found' })
})

test('many readers of many files at once get each their own', async () => {
  const dir = folder()
  const storage = localStorage()
  const names = Array.from({ length: 60 }, (_, i) => join(dir, `${i}`))
  for (const name of names) writeFileSync(name, name)
  const read = async (name: string) => Buffer.from(await storage.read(name, { start: 0, end: 500 })).toString()
  const all = await Promise.all([...names, ...names, ...names].map(read))
  expect(all).toEqual([...names, ...names, ...names])
})

test('bytes are put where there is room for them, and elsewhere where there is not', async () => {
  const path = join(folder(), 'x')
  writeFileSync(path, '0123456789')
  const storage = localStorage()
  const into = new Uint8Array(4)
  const four = await storage.read(path, { start: 2, end: 6, into })
  expect(four.buffer).toBe(into.buffer)
  expect(Buffer.from(into).toString()).toBe('2345')
  const five = await storage.read(path, { start: 2, end: 7, into })
  expect(five.buffer).not.toBe(into.buffer)
  expect(Buffer.from(five).toString()).toBe('23456')
})

test('an open file whose name is another’s by now, or nobody’s, is not read on', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-replaced-'))
  try {
    const storage = localStorage()
    const location = join(dir, 'a')
    const { version } = await storage.create(location, Uint8Array.of(1, 2, 3))
    expect(await storage.read(location, { ifMatch: version })).toEqual(Uint8Array.of(1, 2, 3))
    writeFileSync(join(dir, 'b'), 'abc')
    renameSync(join(dir, 'b'), location)
    await expect(storage.read(location, { ifMatch: version })).rejects.toMatchObject({ code: 'storage/changed' })
    const { version: second } = await storage.stat(location)
    await storage.read(location, { ifMatch: second })
    rmSync(location)
    await expect(storage.read(location, { ifMatch: second })).rejects.toMatchObject({ code: 'storage/not-found' })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
