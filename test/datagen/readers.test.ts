import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import parquetjs from 'parquetjs-lite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { generate } from '../../datagen/index.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-datagen-readers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const files = ['one', 'dictionaries', 'plain'].map((name) => join(folder, `${name}.parquet`)) as [
  string,
  string,
  string,
]

beforeAll(async () => {
  const storage = localStorage()
  await generate({ location: files[0], rows: 1 }, { storage })
  await generate({ location: files[1], rows: 3000, distinct: 100, distribution: 'zipf' }, { storage })
  await generate({ location: files[2], rows: 3000, distribution: 'unique' }, { storage })
})

async function rowsOf(file: string): Promise<unknown[][]> {
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(file) })
  return rows.map((row) => Object.values(row))
}

test('both JavaScript readers read the same identifiers', async () => {
  for (const file of files) {
    const reader = await parquetjs.ParquetReader.openFile(file)
    // Without example_ts: run lengths of an index of more than a byte, as its dictionary has them, come out wrong there.
    const cursor = reader.getCursor(['dept_id', 'vin'])
    const rows: unknown[][] = []
    for (let row = await cursor.next(); row !== null; row = await cursor.next()) rows.push([row.dept_id, row.vin])
    await reader.close()
    expect(rows).toEqual((await rowsOf(file)).map(([department, vin]) => [department, vin]))
  }
})

testWith('pyiceberg', 'PyArrow reads the same rows, dictionaries as dictionaries', async () => {
  const script = `
import pyarrow.parquet as pq
def read(path):
    table = pq.read_table(path, read_dictionary=['vin'])
    return [str(table.schema.field('vin').type), [list(row.values()) for row in table.to_pylist()], table.num_rows]
result = [read(path) for path in args]`
  const answers = await pyiceberg<[string, unknown[][], number][]>(script, files)
  for (const [i, [type, rows, count]] of answers.entries()) {
    const expected = await rowsOf(files[i] as string)
    expect(type).toMatch(/^dictionary<values=string/)
    expect(count).toBe(expected.length)
    expect(rows).toEqual(expected)
  }
})
