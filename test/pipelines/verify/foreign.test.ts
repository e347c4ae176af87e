import { readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, test } from 'vitest'
import { openTable } from '../../../lib/iceberg/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { spark, testWith } from '../../helpers/interop.ts'
import type { Lake } from '../../helpers/lake.ts'
import * as damage from './damage.ts'
import { DAY, kinds, made, PLANTED, totals, verified } from './made.ts'

/** A data file of somebody else, of field ids 1 to 3, in the table as if it had been appended. */
async function foreign(
  home: Lake,
  values: readonly (string | null)[],
  options: { statistics: boolean; pageSize?: number },
) {
  const numbers = values.map((_, i) => i)
  const element = (name: string, id: number, type: 'BYTE_ARRAY' | 'INT64') => ({
    name,
    type,
    repetition_type: 'OPTIONAL' as const,
    field_id: id,
    ...(type === 'BYTE_ARRAY' && { converted_type: 'UTF8' as const }),
  })
  const columns = [
    { name: 's_vin', data: [...values] },
    { name: 'n', data: numbers.map(BigInt) },
    { name: 'note', data: numbers.map(String) },
  ]
  const bytes = parquetWriteBuffer({
    columnData: columns.map((column) => ({ ...column, encoding: 'PLAIN' as const })),
    schema: [
      { name: 'schema', num_children: 3 },
      element('s_vin', 1, 'BYTE_ARRAY'),
      element('n', 2, 'INT64'),
      element('note', 3, 'BYTE_ARRAY'),
    ],
    statistics: options.statistics,
    ...(options.pageSize === undefined ? {} : { pageSize: options.pageSize }),
  })
  const path = join(home.table, 'data', 'theirs.parquet')
  writeFileSync(path, Buffer.from(bytes))
  const [file] = await damage.dataFiles(home.table)
  await damage.editManifests(home.table, (entries) =>
    entries.map((entry) =>
      entry.file.path === file
        ? {
            ...entry,
            file: {
              content: 'data',
              path,
              format: 'PARQUET',
              partition: new Map(),
              rows: values.length,
              bytes: bytes.byteLength,
            },
          }
        : entry,
    ),
  )
  await totals(home.table, 600 + values.length, 2)
  unlinkSync(file as string)
}

/** What the damage of `foreign` brings with it: the file it took the place of. */
const TAKEN = 'ledger-file-gone'

test('pseudonyms that another engine appended are fine, in its statistics too; identifiers are told by place, never by value', async () => {
  const home = await made()
  const pseudonyms = (await home.query('select s_vin from t')).map(([value]) => value as string | null)
  await foreign(home, pseudonyms, { statistics: true })
  expect(await kinds(home.table, { full: true })).toEqual([TAKEN])

  const other = await made()
  await foreign(other, [null, '', PLANTED, `${PLANTED}-2`], { statistics: true })
  const report = await verified(other.table)
  expect(Object.keys(report.counts).sort()).toEqual([TAKEN, 'not-a-pseudonym', 'statistics'])
  expect(report.findings.find(({ kind }) => kind === 'not-a-pseudonym')).toMatchObject({
    location: join(other.table, 'data', 'theirs.parquet'),
    column: 's_vin',
    row_group: 0,
    page: 0,
    message: expect.stringMatching(/^2 of \d+ /),
  })
  expect(JSON.stringify(report)).not.toContain(PLANTED)
})

test('an identifier in a page behind the first is found by --full', async () => {
  const home = await made()
  const pseudonyms = (await home.query("select s_vin from t where s_vin <> ''")).map(([value]) => value as string)
  await foreign(home, [...pseudonyms, PLANTED], { statistics: false, pageSize: 2000 })
  expect(await kinds(home.table)).toEqual([TAKEN])
  expect(await kinds(home.table, { full: true })).toEqual([TAKEN, 'not-a-pseudonym'])
})

test('a column that was copied though it is pinned shows in statistics, bounds, pages and properties', async () => {
  const home = await made()
  const { metadata } = await openTable(localStorage(), home.table)
  await damage.setProperty(
    home.table,
    'pseudolake.column.note',
    metadata.properties['pseudolake.column.s_vin'] as string,
  )
  expect(await kinds(home.table)).toEqual(['bounds', 'metrics-mode', 'not-a-pseudonym', 'statistics'])
})

testWith(
  'spark',
  'a table that Spark appended to, deleted from and compacted is clean; identifiers that Spark wrote are found',
  async () => {
    const [fine, wrong] = [await made(), await made()]
    await spark(
      `
def work(c, statements):
    for sql in statements: rows(sql.replace('T', c + '.db.t'))
work('fine', [
  "insert into T select s_vin, n + 1000, note from T where n < 100",
  "insert into T values (null, -1, null), ('', -2, 'x')",
  "alter table T set tblproperties ('write.delete.mode'='merge-on-read')",
  "delete from T where n in (5, 1007)",
  "call fine.system.rewrite_data_files(table => 'db.t', options => map('min-input-files', '2'))",
  "insert into T select s_vin, n + 5000, note from T where n < 50",
  "delete from T where n = 5001",
])
work('wrong', ["insert into T values ('${PLANTED}', -1, 'x'), (null, -2, 'y')"])
`,
      {},
      { catalogs: { fine: join(fine.dir, 'warehouse'), wrong: join(wrong.dir, 'warehouse') } },
    )
    // So that --full holds files of Spark against checksums of Spark.
    expect(readdirSync(join(fine.table, 'data')).some((name) => name.endsWith('.parquet.crc'))).toBe(true)
    for (const full of [false, true]) {
      const report = await verified(fine.table, { full, now: Date.now() + 4 * DAY })
      expect(report.findings).toEqual([])
      expect(report).toMatchObject({ status: 'clean', jobs: [{ inputs: 2, files_removed: 2 }] })
      expect(report.checked.delete_files).toBeGreaterThan(0)
      expect(await kinds(wrong.table, { full })).toEqual(['not-a-pseudonym', 'statistics'])
    }
    expect(JSON.stringify(await verified(wrong.table))).not.toContain(PLANTED)
  },
)
