import { beforeEach, describe, expect, test } from 'vitest'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Presence } from '../helpers/interop.ts'

/**
 * What every Storage must do.
 * @param open gives a fresh, empty place and the prefix to write under
 * @param presence of what stands behind it; where it is missing all are skipped, or fail where it must be there
 */
export function storageContract(
  name: string,
  open: () => Promise<{ storage: Storage; root: string }>,
  presence: Presence = { there: true },
): void {
  describe(`storage contract: ${name}`, () => {
    beforeEach((context) => {
      if (presence.there) return
      if (process.env.PSEUDOLAKE_REQUIRE_INTEROP === '1') throw new Error(presence.reason)
      context.skip(presence.reason)
    })

    test('of many creates of one location, exactly one wins and its bytes stay', async () => {
      const { storage, root } = await open()
      const tries = Array.from({ length: 32 }, (_, i) =>
        storage.create(`${root}/v1`, bytes(`writer ${i}`)).then(() => i),
      )
      const settled = await Promise.allSettled(tries)
      const won = settled.filter((r) => r.status === 'fulfilled')
      expect(won).toHaveLength(1)
      for (const lost of settled.filter((r) => r.status === 'rejected'))
        expect(lost.reason).toMatchObject({ code: 'storage/conflict' })
      expect(text(await storage.read(`${root}/v1`))).toBe(`writer ${won[0]?.value}`)
    })

    test('a range is start inclusive, end exclusive, and stops where the object ends', async () => {
      const { storage, root } = await open()
      await storage.create(`${root}/a`, bytes('0123456789'))
      expect(text(await storage.read(`${root}/a`, { start: 2, end: 5 }))).toBe('234')
      expect(text(await storage.read(`${root}/a`, { start: 8, end: 50 }))).toBe('89')
      expect(text(await storage.read(`${root}/a`, { start: 20, end: 50 }))).toBe('')
    })

    test('what was handed over is taken: the caller may use its buffer again', async () => {
      const { storage, root } = await open()
      const buffer = Buffer.from('first')
      const writer = await storage.write(`${root}/written`)
      await writer.write(buffer.subarray(0, 5))
      await storage.create(`${root}/created`, buffer)
      buffer.write('other')
      await writer.write(buffer)
      await writer.close()
      expect(text(await storage.read(`${root}/written`))).toBe('firstother')
      expect(text(await storage.read(`${root}/created`))).toBe('first')
    })

    test('a read of an earlier version fails instead of mixing versions', async () => {
      const { storage, root } = await open()
      const first = await storage.create(`${root}/a`, bytes('one'))
      expect(text(await storage.read(`${root}/a`, { ifMatch: first.version }))).toBe('one')
      await storage.delete(`${root}/a`)
      await storage.create(`${root}/a`, bytes('two'))
      await expect(storage.read(`${root}/a`, { ifMatch: first.version })).rejects.toMatchObject({
        code: 'storage/changed',
      })
    })

    test('stat says what create said', async () => {
      const { storage, root } = await open()
      const made = await storage.create(`${root}/a`, bytes('12345'))
      expect(made).toMatchObject({ location: `${root}/a`, bytes: 5 })
      expect(await storage.stat(`${root}/a`)).toEqual({ ...made, modified: expect.any(Number) })
    })

    test('what is not there, or is a folder, is not found', async () => {
      const { storage, root } = await open()
      await storage.create(`${root}/folder/a`, bytes('x'))
      for (const location of [`${root}/none`, `${root}/folder`, `${root}/folder/a/b`]) {
        await expect(storage.stat(location)).rejects.toMatchObject({ code: 'storage/not-found' })
        await expect(storage.read(location)).rejects.toMatchObject({ code: 'storage/not-found' })
      }
    })

    test('lists what is under a prefix, and nothing beside it', async () => {
      const { storage, root } = await open()
      for (const key of ['t/a', 't/deep/er/b', 't/\u{1F697}', 'tt/b', 'u'])
        await storage.create(`${root}/${key}`, bytes(key))
      expect(await listed(storage, root, 't/')).toEqual(['t/a', 't/deep/er/b', 't/\u{1F697}'])
      expect(await listed(storage, root, 't')).toEqual(['t/a', 't/deep/er/b', 't/\u{1F697}', 'tt/b'])
      expect(await listed(storage, root, 'none/')).toEqual([])
    })

    test('an object that is being written is seen by nobody before it is closed', async () => {
      const { storage, root } = await open()
      const writer = await storage.write(`${root}/w`)
      const part = bytes('first ')
      await writer.write(part)
      part.fill(0)
      await writer.write(bytes('second'))
      expect(writer.bytes).toBe(12)
      await expect(storage.stat(`${root}/w`)).rejects.toMatchObject({ code: 'storage/not-found' })
      expect(await writer.close()).toMatchObject({ location: `${root}/w`, bytes: 12 })
      expect(text(await storage.read(`${root}/w`))).toBe('first second')
    })

    test('a writer that is given up leaves nothing behind', async () => {
      const { storage, root } = await open()
      const writer = await storage.write(`${root}/w`)
      await writer.write(bytes('half'))
      await writer.abort()
      await writer.abort()
      expect(await listed(storage, root, '')).toEqual([])
    })

    test('a writer never replaces what another one wrote meanwhile', async () => {
      const { storage, root } = await open()
      const writer = await storage.write(`${root}/w`)
      await writer.write(bytes('late'))
      await storage.create(`${root}/w`, bytes('early'))
      await expect(writer.close()).rejects.toMatchObject({ code: 'storage/conflict' })
      expect(text(await storage.read(`${root}/w`))).toBe('early')
      expect(await listed(storage, root, '')).toEqual(['w'])
    })

    test('replace writes over, and leaves one object', async () => {
      const { storage, root } = await open()
      await storage.replace(`${root}/hint`, bytes('1'))
      await storage.replace(`${root}/hint`, bytes('2'))
      expect(text(await storage.read(`${root}/hint`))).toBe('2')
      expect(await listed(storage, root, '')).toEqual(['hint'])
    })

    test('deleting twice is no error', async () => {
      const { storage, root } = await open()
      await storage.create(`${root}/a`, bytes('x'))
      await storage.delete(`${root}/a`)
      await storage.delete(`${root}/a`)
      await expect(storage.stat(`${root}/a`)).rejects.toMatchObject({ code: 'storage/not-found' })
    })
  })
}

async function listed(storage: Storage, root: string, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const object of storage.list(`${root}/${prefix}`))
    found.push(decodeURI(object.location.slice(root.length + 1)))
  return found.sort()
}

const bytes = (s: string) => new TextEncoder().encode(s)
const text = (b: Uint8Array) => new TextDecoder().decode(b)
