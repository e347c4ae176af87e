import { expect, test } from 'vitest'
import { ENCODING } from '../../lib/parquet/footer.ts'
import { allInDictionary } from '../../lib/parquet/scan.ts'
import { TextGroup, textLeaf } from '../../lib/parquet/text-group.ts'

/** Cells of a column, in PLAIN encoding. */
function cells(texts: readonly string[]) {
  const plain = Buffer.concat(
    texts.map((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return Buffer.concat([length, bytes])
    }),
  )
  const longest = Math.max(0, ...texts.map((text) => text.length))
  return { plain, present: texts.length, definition: new Uint8Array(texts.length).fill(1), longest }
}

/** The chunk of a column that comes in pages of such sizes. */
async function chunkOf(sizes: readonly number[], value: (row: number) => string) {
  const leaves = [textLeaf('a', 0)]
  const group = new TextGroup({ root: leaves, leaves, uses: ['copy'], dictionaries: 1 })
  let row = 0
  for (const size of sizes) group.add(size, [cells(Array.from({ length: size }, () => value(row++)))])
  const { file } = await group.take('memory:/t')
  const chunk = file.rowGroups[0]?.columns[0]
  if (!chunk) throw new Error('no chunk')
  return { chunk, bytes: file.object.bytes }
}

/** A draw from `n` values, the same in each run. */
const drawn = (n: number) => (row: number) => {
  const first = Math.imul(row ^ (row >>> 16), 0x21f0aaad)
  const second = Math.imul(first ^ (first >>> 15), 0x735a2d97)
  return `value ${((second ^ (second >>> 15)) >>> 0) % n}`
}

test('values that come again are in a dictionary, wherever the input is cut into pages', async () => {
  for (const sizes of [
    [100_000],
    [1, 100_000],
    [40, 12_000, 12_000, 12_000, 64_000],
    [8_000, 9_000, 9_000, 9_000, 65_000],
    new Array(200).fill(500),
  ]) {
    const { chunk, bytes } = await chunkOf(sizes, drawn(10_000))
    expect([sizes[1], allInDictionary(chunk)]).toEqual([sizes[1], true])
    expect(bytes).toBeLessThan(400_000)
  }
})

test('values of which none comes twice are given up soon, and stand in no dictionary that is larger than they are', async () => {
  const { chunk: one } = await chunkOf([60_000, 60_000], (row) => `value ${row}`)
  expect(one.encodings).not.toContain(ENCODING.RLE_DICTIONARY)
  const { chunk: small } = await chunkOf(new Array(400).fill(300), (row) => `value ${row}`)
  expect(allInDictionary(small)).toBe(false)
  const dictionary = (small.dictionaryPageOffset ?? small.start) < small.dataPageOffset
  expect(dictionary ? small.dataPageOffset - small.start : 0).toBeLessThan(8192 * 20)
})

test('half of them new for long is given up too', async () => {
  const { chunk } = await chunkOf(new Array(50).fill(4_000), (row) => (row % 3 === 0 ? 'often' : `value ${row}`))
  expect(allInDictionary(chunk)).toBe(false)
})
