/** What others read of the same bytes: csv-parse, and Python’s csv where there is a Python. */
import { spawnSync } from 'node:child_process'
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Row, read } from './read.ts'

const character = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', ' ', 'ä', '€', '😀') },
  { weight: 3, arbitrary: fc.constantFrom(',', '"', '\n', '\r', '\r\n', ';') },
)
const field = fc.option(
  fc.array(character, { maxLength: 8 }).map((characters) => characters.join('')),
  { freq: 5 },
)
const table = fc
  .integer({ min: 2, max: 4 })
  .chain((width) => fc.array(fc.array(field, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 12 }))

const written = fc.record({
  rows: table,
  end: fc.constantFrom('\n', '\r\n'),
  last: fc.boolean(),
  always: fc.boolean(),
  size: fc.integer({ min: 1, max: 40 }),
})

function csv(rows: readonly Row[], end: string, last: boolean, always: boolean): string {
  const lines = rows.map((row) =>
    row
      .map((text) => {
        if (text === null) return ''
        return always || text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
      })
      .join(','),
  )
  return lines.join(end) + (last ? end : '')
}

test('what was written is read, wherever it is cut, and csv-parse reads the same', async () => {
  await fc.assert(
    fc.asyncProperty(written, async ({ rows, end, last, always, size }) => {
      const source = csv(rows, end, last, always)
      expect((await read(source, { header: false }, size)).rows).toEqual(rows)
      const others = parse(source, {
        record_delimiter: end,
        cast: (value, context) => (value === '' && !context.quoting ? null : value),
      })
      expect(others).toEqual(rows)
    }),
    { numRuns: 2000 },
  )
})

const PYTHON = `
import csv, io, json, sys
print(json.dumps([list(csv.reader(io.StringIO(source, newline=''))) for source in json.load(sys.stdin)]))
`

const python = spawnSync('python3', ['--version']).status === 0

test.skipIf(!python)('Python’s csv reads the same texts', async () => {
  const samples = fc.sample(written, { numRuns: 500, seed: 7 })
  const sources = samples.map(({ rows, end, last, always }) => csv(rows, end, last, always))
  const { stdout, stderr } = spawnSync('python3', ['-c', PYTHON], { input: JSON.stringify(sources), encoding: 'utf8' })
  expect(stderr).toBe('')
  const others = JSON.parse(stdout) as string[][][]
  for (const [i, source] of sources.entries()) {
    const { rows } = await read(source, { header: false })
    expect(rows.map((row) => row.map((text) => text ?? ''))).toEqual(others[i])
  }
})

test('any bytes are read or refused, and never something else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('a', ',', '"', '\n', '\r', 'ä', '\u0000'), { maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      async (characters, size) => {
        const bytes = Buffer.from(characters.join(''))
        const whole = await outcome(bytes, Number.POSITIVE_INFINITY)
        expect(await outcome(bytes, size)).toEqual(whole)
      },
    ),
    { numRuns: 3000 },
  )
})

async function outcome(bytes: Buffer, size: number): Promise<unknown> {
  try {
    return await read(bytes, { header: false }, size)
  } catch (error) {
    const { code, context } = error as { code: string; context: object }
    return { code, context }
  }
}
