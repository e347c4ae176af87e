import { expect, test } from 'vitest'
import type { CsvEncoding } from '../../lib/csv/dialect.ts'
import { read } from './read.ts'

const TEXT = 'näme,b\nÄ€😀,"x,y"\n"z\nü",\n'
const ROWS = [
  ['Ä€😀', 'x,y'],
  ['z\nü', null],
]

function utf16(text: string, big: boolean): Buffer {
  const bytes = Buffer.from(text, 'utf16le')
  return big ? bytes.swap16() : bytes
}

test.each<[string, Buffer, CsvEncoding]>([
  ['UTF-8', Buffer.from(TEXT), 'utf-8'],
  ['UTF-8 with a mark', Buffer.from(`\ufeff${TEXT}`), 'utf-8'],
  ['UTF-16 with a little-endian mark', utf16(`\ufeff${TEXT}`, false), 'utf-16'],
  ['UTF-16 with a big-endian mark', utf16(`\ufeff${TEXT}`, true), 'utf-16'],
  ['UTF-16 without a mark', utf16(TEXT, false), 'utf-16'],
  ['UTF-16LE with its mark', utf16(`\ufeff${TEXT}`, false), 'utf-16le'],
  ['UTF-16BE', utf16(TEXT, true), 'utf-16be'],
])('%s, wherever it is cut', async (_, bytes, encoding) => {
  for (const size of [1, 2, 3, 5, 7, Number.POSITIVE_INFINITY])
    expect(await read(bytes, { encoding }, size), `pieces of ${size}`).toEqual({ names: ['näme', 'b'], rows: ROWS })
})

test('Latin-1 and Windows-1252 differ where they do', async () => {
  const bytes = Buffer.from([0x61, 0x0a, 0xe4, 0x80, 0x0a])
  expect((await read(bytes, { encoding: 'latin1' })).rows).toEqual([['ä\u0080']])
  expect((await read(bytes, { encoding: 'windows-1252' })).rows).toEqual([['ä€']])
})

test('only the first mark is a mark', async () => {
  expect((await read('\ufeffa\n\ufeffx\n')).rows).toEqual([['\ufeffx']])
})

test.each<[string, number[], CsvEncoding]>([
  ['a byte that begins nothing', [0xff], 'utf-8'],
  ['half a character', [0xe2, 0x82], 'utf-8'],
  ['a surrogate', [0xed, 0xa0, 0x80], 'utf-8'],
  ['an overlong form', [0xc0, 0xaf], 'utf-8'],
  ['beyond the last character', [0xf5, 0x80, 0x80, 0x80], 'utf-8'],
])('%s is an error at its record and column, never replaced', async (_, bad, encoding) => {
  const before = 'a,b\n'.concat('1,2\n'.repeat(5000))
  const bytes = Buffer.concat([Buffer.from(`${before}3,Ä`), Buffer.from(bad), Buffer.from('\n4,5\n')])
  for (const size of [1, 1000, Number.POSITIVE_INFINITY])
    await expect(read(bytes, { encoding }, size)).rejects.toMatchObject({
      code: 'input/value-invalid',
      context: { record: 5002, line: 5002, index: 2 },
    })
})

test.each([
  ['a first half alone', [0xd800]],
  ['a second half alone', [0xdc00]],
  ['halves in the wrong order', [0xdc00, 0xd800]],
])('UTF-16: %s is an error at its record and column', async (_, units) => {
  const bytes = Buffer.concat([
    utf16('a,b\n1,2\n3,x', false),
    ...units.map((unit) => Buffer.from([unit & 0xff, unit >> 8])),
    utf16('y\n', false),
  ])
  for (const size of [1, 3, Number.POSITIVE_INFINITY])
    await expect(read(bytes, { encoding: 'utf-16le' }, size)).rejects.toMatchObject({
      code: 'input/value-invalid',
      context: { record: 3, index: 2 },
    })
})

test('an end inside a character is an error', async () => {
  await expect(read(Buffer.from([0x61, 0x0a, 0xe2, 0x82]))).rejects.toMatchObject({ code: 'input/value-invalid' })
  await expect(read(utf16('a\nx', false).subarray(0, 5), { encoding: 'utf-16le' })).rejects.toMatchObject({
    code: 'input/value-invalid',
  })
})

test('UTF-16 that is taken for UTF-8 is refused', async () => {
  await expect(read(utf16(`\ufeff${TEXT}`, false))).rejects.toMatchObject({ code: 'input/value-invalid' })
  await expect(read(utf16('vin,b\n1,2\n', false))).rejects.toMatchObject({ code: 'input/unsupported' })
})
