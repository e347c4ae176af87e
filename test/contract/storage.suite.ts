import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { moveObject } from '../../lib/storage/move.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Presence } from '../helpers/interop.ts'

/**
 * What every Storage must do.
 * @param open gives a fresh, empty place and the prefix to write under
 * @param presence of what stands behind it; where it is missing all are skipped, or fail where it must be there
 * @param hidden whether what was begun and not ended is hidden, so that `unfinished` has to find it
 */
export function storageContract(
  name: string,
  open: () => Promise<{ storage: Storage; root: string }>,
  { presence = { there: true }, hidden = false }: { readonly presence?: Presence; readonly hidden?: boolean } = {},
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

    test('an object is moved once, and never over another one', async () => {
      const { storage, root } = await open()
      await storage.create(`${root}/a`, bytes('one'))
      await storage.create(`${root}/taken`, bytes('others'))
      await expect(moveObject(storage, `${root}/a`, `${root}/taken`, 3)).rejects.toMatchObject({
        code: 'storage/conflict',
      })
      expect(text(await storage.read(`${root}/taken`))).toBe('others')
      expect(await moveObject(storage, `${root}/a`, `${root}/below/b`, 3)).toMatchObject({ bytes: 3 })
      expect(text(await storage.read(`${root}/below/b`))).toBe('one')
      await expect(storage.stat(`${root}/a`)).rejects.toMatchObject({ code: 'storage/not-found' })
      // Again, after a crash: under both names, or under the new one alone.
      expect(await moveObject(storage, `${root}/a`, `${root}/below/b`, 3)).toMatchObject({ bytes: 3 })
      await storage.create(`${root}/a`, bytes('one'))
      expect(await moveObject(storage, `${root}/a`, `${root}/below/b`, 3)).toMatchObject({ bytes: 3 })
      await expect(storage.stat(`${root}/a`)).rejects.toMatchObject({ code: 'storage/not-found' })
      await expect(moveObject(storage, `${root}/none`, `${root}/nowhere`, 3)).rejects.toMatchObject({
        code: 'storage/not-found',
      })
    })

    test('a large object is moved whole', { timeout: 60_000 }, async () => {
      const { storage, root } = await open()
      const writer = await storage.write(`${root}/large`)
      const part = randomBytes(4 << 20)
      for (let i = 0; i < 6; i++) await writer.write(part)
      await writer.write(bytes('the end'))
      const { bytes: size } = await writer.close()
      expect(await moveObject(storage, `${root}/large`, `${root}/moved`, size)).toMatchObject({ bytes: size })
      const moved = Buffer.from(await storage.read(`${root}/moved`))
      expect(moved.length).toBe(6 * part.length + 7)
      for (let i = 0; i < 6; i++) expect(part.equals(moved.subarray(i * part.length, (i + 1) * part.length))).toBe(true)
      expect(text(moved.subarray(-7))).toBe('the end')
      await expect(storage.stat(`${root}/large`)).rejects.toMatchObject({ code: 'storage/not-found' })
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

    test('what is larger than one request or one buffer comes back byte for byte, and never over what is there', async () => {
      const { storage, root } = await open()
      const all = noise(21 << 20)
      const write = async (location: string) => {
        const writer = await storage.write(location)
        for (let at = 0; at < all.length; at += 999_983) await writer.write(all.subarray(at, at + 999_983))
        return writer
      }
      const made = await (await write(`${root}/large`)).close()
      expect(made).toMatchObject({ location: `${root}/large`, bytes: all.length })
      expect(await storage.stat(`${root}/large`)).toEqual({ ...made, modified: expect.any(Number) })
      expect(Buffer.compare(await storage.read(`${root}/large`, { ifMatch: made.version }), all)).toBe(0)
      const [start, end] = [(8 << 20) - 5, (16 << 20) + 7]
      const into = new Uint8Array(10 << 20)
      const range = await storage.read(`${root}/large`, { start, end, ifMatch: made.version, into })
      expect(Buffer.compare(range, all.subarray(start, end))).toBe(0)

      const late = await write(`${root}/large`)
      await expect(late.close()).rejects.toMatchObject({ code: 'storage/conflict' })
      await late.abort()
      expect((await storage.stat(`${root}/large`)).version).toBe(made.version)
      const given = await write(`${root}/given-up`)
      await given.abort()
      expect(await listed(storage, root, '')).toEqual(['large'])
      expect(await unfinished(storage, root)).toEqual([])
    })

    if (hidden)
      test('what was begun and not ended is found by its location, and taken away', async () => {
        const { storage, root } = await open()
        for (const name of ['run 1-a', 'run 1-b', 'run+2-a'])
          await (await storage.write(`${root}/${name}`)).write(noise(17 << 20))
        expect((await unfinished(storage, root)).sort()).toEqual(['run 1-a', 'run 1-b', 'run+2-a'])
        for await (const one of storage.unfinished?.(`${root}/run 1-`) ?? []) {
          await one.abort()
          await one.abort()
        }
        expect(await unfinished(storage, root)).toEqual(['run+2-a'])
        expect(await listed(storage, root, '')).toEqual([])
      })

    test('names are what they are: blanks, signs, other scripts', async () => {
      const { storage, root } = await open()
      const names = [
        'a b/c',
        'd=e f',
        'g+h',
        'i%2Fj',
        'k&l',
        "m'n(o)!*",
        'p;q,r:s@t$u',
        'ä/日本/\u{1F697}',
        'v~w',
        '100%',
        'x<y>"z"',
      ]
      for (const name of names) await storage.create(at(root, name), bytes(name))
      for (const name of names) {
        expect(text(await storage.read(at(root, name)))).toBe(name)
        expect(await storage.stat(at(root, name))).toMatchObject({ bytes: bytes(name).length })
      }
      const found: string[] = []
      for await (const { location } of storage.list(`${root}/`)) found.push(nameAt(root, location))
      expect(found.sort()).toEqual(names.toSorted())
      for (const name of names) await storage.delete(at(root, name))
      expect(await listed(storage, root, '')).toEqual([])
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

/** The location of a name: only in a URL is a name escaped. */
function at(root: string, name: string): string {
  return root.startsWith('file:')
    ? `${root}/${name
        .split('/')
        .map((word) => encodeURIComponent(word))
        .join('/')}`
    : `${root}/${name}`
}

function nameAt(root: string, location: string): string {
  const name = location.slice(root.length + 1)
  return root.startsWith('file:') ? decodeURIComponent(name) : name
}

async function unfinished(storage: Storage, root: string): Promise<string[]> {
  const found: string[] = []
  for await (const { location } of storage.unfinished?.(`${root}/`) ?? []) found.push(location.slice(root.length + 1))
  return found
}

/** Bytes of which no two pieces are alike. */
function noise(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2654435761)
  return new Uint8Array(words.buffer, 0, length)
}

async function listed(storage: Storage, root: string, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const object of storage.list(`${root}/${prefix}`))
    found.push(decodeURI(object.location.slice(root.length + 1)))
  return found.sort()
}

const bytes = (s: string) => new TextEncoder().encode(s)
const text = (b: Uint8Array) => new TextDecoder().decode(b)
