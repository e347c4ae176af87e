import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openTable } from '../../lib/iceberg/open.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { duckdbIceberg, pyiceberg, testWith } from '../helpers/interop.ts'
import { type Lake, lake } from '../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }

async function inputs(home: Lake, files: Record<string, string>): Promise<void> {
  mkdirSync(join(home.dir, 'in'), { recursive: true })
  for (const [name, select] of Object.entries(files))
    await home.sql(`copy (${select}) to '{dir}/in/${name}' (format parquet)`)
}

testWith(
  ['duckdb', 'pyiceberg'],
  'with schema_changes add, new columns go into the table, sensitive ones as pseudonyms; older files read null there',
  async () => {
    const home = await lake()
    await inputs(home, { 'a.parquet': `select 'V' || i as vin, {'x': i} as s, i as n from range(3) r(i)` })
    await home.run({ columns: VIN })
    rmSync(join(home.dir, 'in'), { recursive: true })
    await inputs(home, {
      'b.parquet': `select 'V' || i as vin, {'x': i, 'y': i * 2} as s, i as n, 'mail' || i as mail, [i] as l from range(3, 5) r(i)`,
      'c.parquet': `select 'V' || i as vin, {'x': i} as s, i as n from range(5, 7) r(i)`,
    })
    const columns = { ...VIN, mail: { mode: 'deterministic' } }
    // A rule for a column that one of the files lacks has nothing to say about that file.
    await expect(home.run({ columns, set: ['schema_changes=add'] })).rejects.toMatchObject({
      code: 'input/column-missing',
    })
    rmSync(join(home.dir, 'in', 'c.parquet'))
    await home.run({ columns, set: ['schema_changes=add'] })
    await inputs(home, { 'c.parquet': `select 'V' || i as vin, {'x': i} as s, i as n from range(5, 7) r(i)` })
    rmSync(join(home.dir, 'in', 'b.parquet'))
    await expect(home.run({ columns: VIN })).resolves.toMatchObject({ rows: 2 })
    const { metadata, metadataLocation } = await openTable(localStorage(), home.table)
    const inDuckdb = await duckdbIceberg(
      `select n, s.x as x, s.y as y, s_mail as mail, l from iceberg_scan('${metadataLocation}') order by n`,
    )
    const inPython = await pyiceberg<unknown[][]>(
      `from pyiceberg.table import StaticTable
rows = StaticTable.from_metadata(args).scan().to_arrow().sort_by('n').to_pylist()
result = [[r['n'], r['s']['x'], r['s']['y'], r['s_mail'], r['l']] for r in rows]`,
      metadataLocation,
    )
    const number = (value: unknown) => (value === null ? null : Number(value))
    const numbers = (value: unknown) => (value as unknown[] | null)?.map(Number) ?? null
    const plain = (rows: unknown[][]) =>
      rows.map(([n, x, y, mail, l]) => [number(n), number(x), number(y), mail, numbers(l)])
    const rows = plain(inPython)
    expect(plain(inDuckdb.map((row) => ['n', 'x', 'y', 'mail', 'l'].map((name) => row[name])))).toEqual(rows)
    const mails = await home.back(rows.map((row) => row[3]))
    expect(rows.map(([n, x, y, , l], i) => [n, x, y, mails[i], l])).toEqual([
      [0, 0, null, null, null],
      [1, 1, null, null, null],
      [2, 2, null, null, null],
      [3, 3, 6, 'mail3', [3]],
      [4, 4, 8, 'mail4', [4]],
      [5, 5, null, null, null],
      [6, 6, null, null, null],
    ])
    expect(metadata.schemas).toHaveLength(2)
    expect(metadata.snapshots.map((snapshot) => snapshot['schema-id'])).toEqual([0, 1, 1])
  },
)
