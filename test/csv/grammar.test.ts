import { expect, test } from 'vitest'
import { MAX_RECORD_BYTES } from '../../lib/csv/scanner.ts'
import { type Row, read } from './read.ts'

const CASES: readonly (readonly [what: string, source: string, rows: readonly Row[]])[] = [
  [
    'an empty field is null, a quoted empty one is empty',
    'a,b\n,""\n"",\n',
    [
      [null, ''],
      ['', null],
    ],
  ],
  ['the last line needs no end', 'a,b\n1,2', [['1', '2']]],
  ['a last line that ends in a delimiter has a null behind it', 'a,b\n1,', [['1', null]]],
  [
    'CR LF, LF and CR end a record, also mixed',
    'a,b\r\n1,2\r3,4\n5,6',
    [
      ['1', '2'],
      ['3', '4'],
      ['5', '6'],
    ],
  ],
  [
    'delimiters, quotes and ends of lines stand in quotes',
    'a,b\n"1,2","x""y"\n"l1\nl2\r\nl3",z\n',
    [
      ['1,2', 'x"y'],
      ['l1\nl2\r\nl3', 'z'],
    ],
  ],
  ['quotes alone in quotes', 'a,b\n"""",""""""\n', [['"', '""']]],
  ['a quote inside a field without quotes is a character', 'a,b\n5" pipe,x"y"\n', [['5" pipe', 'x"y"']]],
  ['blanks are data', 'a,b\n 1 ,\t\n', [[' 1 ', '\t']]],
  ['the word null is data', 'a,b\nnull,None\n', [['null', 'None']]],
  [
    'blank lines are passed over where there are several columns',
    '\n\na,b\n\n1,2\n\r\n\n3,4\n\n',
    [
      ['1', '2'],
      ['3', '4'],
    ],
  ],
  ['of one column an empty line is a row', 'a\n1\n\n2\n', [['1'], [null], ['2']]],
  ['NUL and other control characters are data', 'a,b\nx\0y,\u0001\n', [['x\0y', '\u0001']]],
  ['characters of two, three and four bytes', 'a,b\nÄ€,😀\n', [['Ä€', '😀']]],
  ['only a header', 'a,b\n', []],
  ['only a header without an end', 'a,b', []],
]

test.each(CASES)('%s', async (_, source, rows) => {
  expect((await read(source)).rows).toEqual(rows)
})

test.each(CASES)('%s: wherever the file is cut on its way', async (_, source, rows) => {
  for (let size = 1; size < 12; size++) expect((await read(source, {}, size)).rows, `pieces of ${size}`).toEqual(rows)
})

test('another delimiter, another quote, or none', async () => {
  expect((await read("a;b\n'1;2';'it''s'\n", { delimiter: ';', quote: "'" })).rows).toEqual([['1;2', "it's"]])
  expect((await read('a\tb\n"1\t2"\n', { delimiter: '\t', quote: '' })).rows).toEqual([['"1', '2"']])
  expect((await read('a|b\n|\n', { delimiter: '|' })).rows).toEqual([[null, null]])
})

test('names come from the header, from the configuration, or from their places', async () => {
  expect(await read('"vin, no",b\n1,2\n')).toMatchObject({ names: ['vin, no', 'b'], rows: [['1', '2']] })
  expect(await read('1,2\n', { header: ['x', 'y'] })).toMatchObject({ names: ['x', 'y'], rows: [['1', '2']] })
  expect(await read('1,2\n3,4\n', { header: false })).toMatchObject({
    names: ['_c0', '_c1'],
    rows: [
      ['1', '2'],
      ['3', '4'],
    ],
  })
  expect(await read(',vin\n0,x\n')).toMatchObject({ names: ['_c0', 'vin'], rows: [['0', 'x']] })
  expect(await read('\n\r\n')).toMatchObject({ names: undefined, rows: [] })
})

const SECRET = 'WVWZZZ1JZ3W386752'

test.each([
  ['a record with too few fields', `a,b\n1,2\n${SECRET}\n`, 'input/corrupt', { record: 3, line: 3 }],
  ['a record with too many', `a,b\n1,2\n\n"x\ny",2,${SECRET}\n`, 'input/corrupt', { record: 3, line: 4 }],
  ['something behind a closing quote', `a,b\n1,"${SECRET}"x\n`, 'input/corrupt', { record: 2, line: 2, index: 2 }],
  ['a blank behind a closing quote', `a,b\n"${SECRET}" ,1\n`, 'input/corrupt', { record: 2, line: 2, index: 1 }],
  ['a quote that is never closed', `a,b\n1,2\n3,"${SECRET}\n4,5\n`, 'input/corrupt', { record: 3, line: 3, index: 2 }],
  ['two columns of one name', `${SECRET},b,${SECRET}\n`, 'input/unsupported', { columns: [1, 3] }],
  ['a name with a control character', `a,${SECRET}\0\n`, 'input/unsupported', { column: 2 }],
])('%s is refused, with its place and without its value', async (_, source, code, context) => {
  for (const size of [1, 7, Number.POSITIVE_INFINITY]) {
    const error = await read(source, {}, size).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    )
    expect(error).toMatchObject({ code, context })
    expect(JSON.stringify(error) + String(error)).not.toContain(SECRET)
  }
})

test('names of a configuration that are not as many as the columns', async () => {
  await expect(read('1,2,3\n', { header: ['x'] })).rejects.toMatchObject({ code: 'input/mixed-schemas' })
})

test('a record that goes on and on is given up before it fills the memory', async () => {
  async function* endless() {
    yield Buffer.from('a,b\n1,"')
    for (let i = 0; i < 1000; i++) yield Buffer.alloc(1 << 20, 'x')
  }
  const { CsvReader } = await import('../../lib/csv/reader.ts')
  const { DEFAULT_DIALECT } = await import('../../lib/csv/dialect.ts')
  const reader = await CsvReader.open(endless(), { dialect: DEFAULT_DIALECT, location: '/in/a.csv' })
  const all = async () => {
    for await (const _ of reader.batches());
  }
  await expect(all()).rejects.toMatchObject({ code: 'input/unsupported', context: { record: 2, line: 2 } })
})

test('a field of megabytes is kept whole', async () => {
  const long = 'ä"'.repeat(MAX_RECORD_BYTES / 8)
  const { rows } = await read(`a,b\n1,"${long.replaceAll('"', '""')}"\n2,x\n`, {}, 100_000)
  expect(rows).toHaveLength(2)
  expect(rows[0]?.[1] === long).toBe(true)
  expect(rows[1]).toEqual(['2', 'x'])
})

test('rows of many batches are all there, in their order', async () => {
  const n = 300_000
  const source = `a,b\n${Array.from({ length: n }, (_, i) => (i % 3 === 0 ? `,${i}` : `${i},`)).join('\n')}\n`
  const { rows } = await read(source, {}, 1 << 20)
  expect(rows).toHaveLength(n)
  expect(
    rows.findIndex(([a, b], i) => (i % 3 === 0 ? a !== null || b !== String(i) : a !== String(i) || b !== null)),
  ).toBe(-1)
})
