import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { memoryStorage } from '../../lib/storage/memory.ts'
import {
  isHeader,
  type LedgerEntry,
  type LedgerRef,
  readChain,
  readLedgerFile,
  writeLedgerFile,
} from '../../pipelines/ledger-file.ts'
import { LedgerIndex } from '../../pipelines/ledger-index.ts'

const entry = (n: number, version = 'v1'): LedgerEntry => ({
  input: createHash('sha256').update(String(n)).digest('hex').slice(0, 32),
  bytes: n,
  version,
  rows: n,
  files: [`${n}.parquet`],
})

async function all(storage: ReturnType<typeof memoryStorage>, ref: LedgerRef) {
  const entries: LedgerEntry[] = []
  for await (const value of readChain(storage, ref)) if (!isHeader(value)) entries.push(value)
  return entries
}

test('the index knows new, same and changed inputs as a map would, and keeps the first entry of each', () => {
  const operation = fc.record({ n: fc.integer({ min: 0, max: 3000 }), version: fc.constantFrom('a', 'b') })
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 5000 }), (operations) => {
      const index = new LedgerIndex()
      const map = new Map<number, string>()
      for (const { n, version } of operations) {
        const known = map.get(n)
        expect(index.stateOf(entry(n, version))).toBe(
          known === undefined ? 'new' : known === version ? 'same' : 'changed',
        )
        expect(index.add(entry(n, version))).toBe(known === undefined)
        if (known === undefined) map.set(n, version)
      }
      expect(index.size).toBe(map.size)
    }),
    { numRuns: 20 },
  )
})

test('a million inputs take some 50 MB', { timeout: 60_000 }, () => {
  const before = process.memoryUsage().arrayBuffers
  const index = new LedgerIndex()
  for (let n = 0; n < 1_000_000; n++) index.add({ ...entry(0), input: hex(n) })
  expect(index.size).toBe(1_000_000)
  expect(index.stateOf({ ...entry(0), input: hex(999_999) })).toBe('same')
  expect((process.memoryUsage().arrayBuffers - before) / 2 ** 20).toBeLessThan(110)
})

/** Spread as a hash is, without the price of one. */
function hex(n: number): string {
  return (
    Math.imul(n, 0x9e3779b1).toString(16).replace('-', 'f').padStart(8, '0').repeat(3) + n.toString(16).padStart(8, '0')
  )
}

test('a chain is read from the newest file to the first', async () => {
  const storage = memoryStorage()
  const first = await writeLedgerFile(storage, 'memory:/1', { salt: 's', depth: 0 }, [entry(1), entry(2)])
  const second = await writeLedgerFile(storage, 'memory:/2', { salt: 's', depth: 1, previous: first }, [entry(2, 'v2')])
  expect((await all(storage, second)).map(({ bytes, version }) => [bytes, version])).toEqual([
    [2, 'v2'],
    [1, 'v1'],
    [2, 'v1'],
  ])
})

test('a large file is read and written in pieces, to the last byte', async () => {
  const storage = memoryStorage()
  const entries = Array.from({ length: 30_000 }, (_, n) => entry(n, `é${n}`))
  const ref = await writeLedgerFile(storage, 'memory:/1', { salt: 's', depth: 0 }, entries)
  expect((await storage.stat('memory:/1')).bytes).toBeGreaterThan(3 << 20)
  expect(await all(storage, ref)).toEqual(entries)
})

test.each([
  ['a byte changed', (text: string) => text.replace('"rows":1,', '"rows":7,')],
  ['a line lost', (text: string) => text.split('\n').slice(0, -2).join('\n').concat('\n')],
  ['cut off', (text: string) => text.slice(0, -5)],
  ['empty', () => ''],
  ['of a newer version', (text: string) => text.replace('"version":1', '"version":9')],
  ['another thing', () => '{]'],
])('a file that is %s is refused', async (_, damage) => {
  const storage = memoryStorage()
  const ref = await writeLedgerFile(storage, 'memory:/1', { salt: 's', depth: 0 }, [entry(1), entry(2)])
  const text = new TextDecoder().decode(await storage.read('memory:/1'))
  await storage.replace('memory:/1', new TextEncoder().encode(damage(text)))
  const reading = (async () => {
    for await (const _value of readLedgerFile(storage, ref));
  })()
  await expect(reading).rejects.toMatchObject({ code: 'table/mark-unreadable' })
})

test('versions that differ in a digit, a size by a byte, are told apart: two hundred thousand of them', () => {
  const hex = 'ABCDEFabcdef01234567890123456789'
  for (const nth of [
    (n: number) => ({ bytes: 1000, version: `9000-1000-${1700000000000000000n + BigInt(n)}` }),
    (n: number) => ({ bytes: 2 ** 32 + n, version: 'd41d8cd98f00b204e9800998ecf8427e' }),
  ])
    for (let base = 0; base < 10_000; base += 1000) {
      const index = new LedgerIndex()
      index.add({ input: hex, ...nth(base) })
      const same = Array.from({ length: 10_000 }, (_, n) => n).filter(
        (n) => index.stateOf({ input: hex, ...nth(n) }) !== 'changed',
      )
      expect(same).toEqual([base])
    }
})
