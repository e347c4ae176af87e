/** Tables that killed runs and their reruns left, read by other engines. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openTable } from '../../lib/iceberg/open.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { duckdbIceberg, pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { type Lake, lake } from '../helpers/lake.ts'
import { crashStorage, Dead } from './crash-storage.ts'

const JOB = { columns: { vin: { mode: 'deterministic' } }, set: ['commit.max_files=2', 'input.changed=replace'] }

testWith(
  ['pyiceberg', 'spark', 'duckdb'],
  'PySpark, PyIceberg and DuckDB read what killed runs and their reruns made: the same rows, each once',
  async () => {
    const home = await lake()
    mkdirSync(join(home.dir, 'in'))
    for (let i = 0; i < 5; i++) await put(home, i, i * 100)
    const all = await operationsOfAll()
    // Half-way, and again in a run that has less left to do.
    await killed(home, Math.round(all * 0.55))
    await killed(home, Math.round(all * 0.3))
    await home.run(JOB)
    // One input's rows are replaced, by a run that is killed too.
    await put(home, 2, 1000)
    await killed(home, Math.round(all * 0.2))
    await home.run(JOB)
    const expected = (await home.query('select s_vin, n from t order by n')).map(([vin, n]) => [vin, Number(n)])
    const numbers = [0, 100, 300, 400, 1000].flatMap((from) => Array.from({ length: 50 }, (_, i) => from + i))
    expect(expected.map(([, n]) => n)).toEqual(numbers)
    expect(await home.back(expected.map(([vin]) => vin))).toEqual(numbers.map((n) => `VIN${n % 7}`))

    const { metadataLocation } = await openTable(localStorage(), home.table)
    expect(
      await pyiceberg(
        `from pyiceberg.table import StaticTable
rows = StaticTable.from_metadata(args).scan().to_arrow().to_pylist()
result = sorted(([row['s_vin'], row['n']] for row in rows), key=lambda row: row[1])`,
        metadataLocation,
      ),
    ).toEqual(expected)
    const duck = await duckdbIceberg(`select s_vin, n::int as n from iceberg_scan('${metadataLocation}') order by n`)
    expect(duck.map(({ s_vin, n }) => [s_vin, n])).toEqual(expected)
    const read = await spark("result = rows('select s_vin, n from lake.db.t order by n')", null, {
      catalogs: { lake: join(home.dir, 'warehouse') },
      timeoutMs: 300_000,
    })
    expect(read).toEqual(expected)
  },
  320_000,
)

/** What a run of the same inputs does that nobody kills. */
async function operationsOfAll(): Promise<number> {
  const twin = await lake()
  mkdirSync(join(twin.dir, 'in'))
  for (let i = 0; i < 5; i++) await put(twin, i, i * 100)
  const storage = crashStorage(localStorage())
  await twin.run(JOB, {}, { storage: storage.storage })
  return storage.operations
}

async function put(home: Lake, i: number, from: number): Promise<void> {
  await home.sql(`copy (select 'VIN' || (n % 7) as vin, n::int as n from range(${from}, ${from + 50}) r(n))
    to '{dir}/in/${i}.parquet' (format parquet)`)
}

async function killed(home: Lake, operation: number): Promise<void> {
  const { storage } = crashStorage(localStorage(), operation, 'dead after')
  await expect(home.run(JOB, {}, { storage })).rejects.toBeInstanceOf(Dead)
}
