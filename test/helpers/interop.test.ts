import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { duckdbIceberg, pyiceberg, spark, testWith } from './interop.ts'

const warehouse = mkdtempSync(join(tmpdir(), 'pseudolake-warehouse-'))
afterAll(() => rmSync(warehouse, { recursive: true, force: true }))

testWith(['spark', 'pyiceberg', 'duckdb'], 'Spark, PyIceberg and DuckDB read the same Iceberg table here', async () => {
  const made = await spark<unknown[]>(
    `
rows("create table lake.db.t (id bigint, s string, d decimal(9,2), ts timestamp) using iceberg")
rows("insert into lake.db.t values (1, 'é', 1.50, timestamp '2024-02-29 00:00:00.000001'), (2, null, null, null)")
result = rows('select * from lake.db.t order by id')`,
    null,
    { catalogs: { lake: warehouse } },
  )
  expect(made).toEqual([
    [1, 'é', '1.50', '2024-02-29T00:00:00.000001'],
    [2, null, null, null],
  ])

  const read = await pyiceberg(
    `
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(args['metadata'])
result = sorted((list(row.values()) for row in table.scan().to_arrow().to_pylist()), key=lambda row: row[0])`,
    { metadata: join(warehouse, 'db/t/metadata/v2.metadata.json') },
  )
  expect(read).toEqual([
    [1, 'é', '1.50', '2024-02-29T00:00:00.000001+00:00'],
    [2, null, null, null],
  ])

  const scanned = await duckdbIceberg(`select id, s, d from iceberg_scan('${warehouse}/db/t') order by id`)
  expect(scanned).toEqual([
    { id: '1', s: 'é', d: '1.50' },
    { id: '2', s: null, d: null },
  ])
})

testWith('pyiceberg', 'a script that fails says where', async () => {
  await expect(pyiceberg('\nraise ValueError("as told")', {})).rejects.toThrow(/line 2\D[\s\S]*ValueError: as told/)
})

testWith('pyiceberg', 'a script that hangs is ended, with its children', async () => {
  const note = join(warehouse, 'child.pid')
  const hang =
    'import subprocess\nchild = subprocess.Popen(["sleep", "600"])\nopen(args, "w").write(str(child.pid))\nchild.wait()'
  await expect(pyiceberg(hang, note, { timeoutMs: 2500 })).rejects.toThrow(/ended with SIGKILL/)
  const child = Number(readFileSync(note, 'utf8'))
  await expect.poll(() => alive(child)).toBe(false)
})

/** A killed process whose parent is gone may stay as a zombie where nobody reaps it. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
