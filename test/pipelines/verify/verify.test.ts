import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, test } from 'vitest'
import { openTable } from '../../../lib/iceberg/open.ts'
import { put, type ThriftField } from '../../../lib/parquet/thrift.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { checksumFileOf } from '../../../pipelines/verify/checksum.ts'
import { FINDING_KINDS, type FindingKind } from '../../../pipelines/verify/findings.ts'
import { LocationSet } from '../../../pipelines/verify/location-set.ts'
import { type VerifyOptions, verifyTable } from '../../../pipelines/verify/verify.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { spark, testWith } from '../../helpers/interop.ts'
import { type Lake, lake } from '../../helpers/lake.ts'
import * as damage from './damage.ts'

const DAY = 24 * 3_600_000
const PLANTED = 'PLANTED-IDENTIFIER'

/** Two runs of one job: two data files, nulls and empty strings among them, a copied column beside. */
async function made(): Promise<Lake> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (const name of ['a', 'b']) {
    await home.sql(
      `copy (select case i % 7 when 0 then null when 1 then '' else '${PLANTED}-' || (i % 40) end as vin, i as n, 'note ' || i as note
             from range(600) r(i)) to '{dir}/in/${name}.parquet'`,
    )
    await home.run({ columns: { vin: { mode: 'deterministic' } } })
  }
  return home
}

async function verified(table: string, options: Partial<VerifyOptions> = {}) {
  const storage = localStorage()
  return verifyTable(await openTable(storage, table), { storage, now: Date.now(), ...options })
}

/** Kinds that are found, whatever else is said of them. */
async function kinds(table: string, options: Partial<VerifyOptions> = {}): Promise<string[]> {
  return Object.keys((await verified(table, options)).counts).sort()
}

test('a table as runs leave it is clean, and everything it reaches was looked at', async () => {
  const { table } = await made()
  for (const full of [false, true]) {
    const report = await verified(table, { full })
    expect(report).toMatchObject({
      status: 'clean',
      location: table,
      checked: { metadata: 2, manifest_lists: 2, manifests: 2, data_files: 2, delete_files: 0 },
      replaced_columns: ['s_vin'],
      jobs: [{ job: 'test', epoch: 2, ledger_files: 2, inputs: 2, files_in_table: 2, files_removed: 0 }],
      counts: {},
      findings: [],
    })
    expect(report.checked.bytes).toBeGreaterThan(1000)
  }
})

test('nested columns, all modes and a replaced input verify clean', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  const write = (rows: number) =>
    home.sql(
      `copy (select ['T' || i, null, ''] as tags, {vin: 'V' || i, n: i} as car, i::varchar as plate, i as id
             from range(${rows}) r(i)) to '{dir}/in/a.parquet'`,
    )
  const columns = {
    tags: { mode: 'random' },
    'car.vin': { mode: 'deterministic' },
    plate: { mode: 'drop' },
    id: { mode: 'deterministic' },
  }
  await write(300)
  await home.run({ columns })
  await write(200)
  await home.run({ columns, set: ['input.changed=replace'] })
  const report = await verified(home.table, { full: true })
  expect(report).toMatchObject({ status: 'clean', counts: {}, jobs: [{ inputs: 1, files_in_table: 1 }] })
  expect(report.replaced_columns).toHaveLength(3)
})

const first = (files: readonly string[]) => files[0] as string

/** Changes the metadata of the replaced column in one file. */
async function chunks(table: string, edit: (meta: damage.Fields) => void) {
  await damage.editDataFile(table, first(await damage.dataFiles(table)), {
    chunk: (meta, _, column) => {
      if (column === 's_vin') edit(meta)
    },
  })
}

function totals(table: string, rows: number, files: number) {
  return damage.editMetadata(table, ({ snapshots }) => {
    Object.assign(snapshots.at(-1)?.summary ?? {}, { 'total-records': String(rows), 'total-data-files': String(files) })
  })
}

function metadataFile(table: string, pattern: RegExp): string {
  const folder = join(table, 'metadata')
  return join(folder, readdirSync(folder).find((name) => pattern.test(name)) ?? 'none')
}

function ledger({ dir }: Lake, epoch: number): string {
  const state = join(dir, 'warehouse', '_pseudolake')
  const name = readdirSync(state, { recursive: true }).find((each) => String(each).includes(`/0000000${epoch}-`))
  return join(state, String(name))
}

type Planted = readonly [kind: FindingKind, what: string, plant: (home: Lake) => Promise<unknown>, full?: boolean]

const PLANTED_DAMAGE: readonly Planted[] = [
  ['missing-file', 'a data file is gone', async ({ table }) => unlinkSync(first(await damage.dataFiles(table)))],
  ['missing-file', 'a manifest is gone', async ({ table }) => unlinkSync(metadataFile(table, /-m\d+\.avro$/))],
  ['missing-file', 'a manifest list is gone', async ({ table }) => unlinkSync(metadataFile(table, /^snap-/))],
  [
    'size-differs',
    'a manifest tells another size than its file has',
    ({ table }) => damage.editEntries(table, ({ bytes }) => ({ bytes: bytes + 1 })),
  ],
  [
    'unreadable',
    'a data file is cut off',
    async ({ table }) => {
      const file = first(await damage.dataFiles(table))
      const bytes = readFileSync(file)
      // As long as before, so that only its content tells.
      writeFileSync(
        file,
        Buffer.concat([bytes.subarray(0, bytes.length / 2), Buffer.alloc(bytes.length / 2 + 1)]).subarray(
          0,
          bytes.length,
        ),
      )
    },
  ],
  [
    'unreadable',
    'a page of a copied column is damaged: --full finds it',
    async ({ table }) => {
      const file = first(await damage.dataFiles(table))
      const { start, end } = await damage.chunkOf(file, 'note')
      const bytes = readFileSync(file)
      bytes.fill(0xff, start + 60, end)
      writeFileSync(file, bytes)
    },
    true,
  ],
  [
    'checksum-differs',
    'a file is not the one that Hadoop’s checksum file is for: --full finds it',
    async ({ table }) => {
      const file = first(await damage.dataFiles(table))
      const bytes = readFileSync(file)
      const sums = Buffer.alloc(8 + 4 * Math.ceil(bytes.length / 512))
      sums.write('crc\0', 'latin1')
      sums.writeUInt32BE(512, 4)
      for (let i = 0; i < sums.length / 4 - 2; i++)
        sums.writeUInt32BE(crc32(bytes.subarray(i * 512, (i + 1) * 512)), 8 + 4 * i)
      writeFileSync(checksumFileOf(file), sums)
      expect(await kinds(table, { full: true })).toEqual([])
      sums[10] = (sums[10] ?? 0) ^ 1
      writeFileSync(checksumFileOf(file), sums)
    },
    true,
  ],
  [
    'row-count',
    'a manifest tells another number of rows',
    async ({ table }) => {
      await damage.editEntries(table, ({ rows }) => ({ rows: rows + 1 }))
      await totals(table, 1202, 2)
    },
  ],
  [
    'summary-counts',
    'a snapshot tells another number of rows',
    ({ table }) =>
      damage.editMetadata(table, ({ snapshots }) => {
        Object.assign(snapshots.at(-1)?.summary ?? {}, { 'total-records': '7' })
      }),
  ],
  [
    'column-counts',
    'a manifest tells another number of nulls',
    ({ table }) =>
      damage.editEntries(table, ({ nullCounts }) => ({
        nullCounts: new Map([...(nullCounts ?? [])].map(([id, n]) => [id, n + 1])),
      })),
  ],
  [
    'column-counts',
    'a footer tells another number of nulls than its pages hold: --full finds it',
    async ({ table }) => {
      await damage.editDataFile(table, first(await damage.dataFiles(table)), {
        chunk: (meta, _, column) => {
          if (column === 'note') meta.set(12, put.struct({ 3: put.i64(5) }))
        },
      })
      await damage.editEntries(table, () => ({ nullCounts: undefined }))
    },
    true,
  ],
  [
    'bounds',
    'a manifest has bounds of a replaced column',
    ({ table }) => damage.editEntries(table, () => ({ upperBounds: new Map([[1, Buffer.from(PLANTED)]]) })),
  ],
  [
    'statistics',
    'the footer has bounds of a replaced column',
    ({ table }) => chunks(table, (meta) => meta.set(12, damage.bounds(PLANTED))),
  ],
  [
    'statistics',
    'the footer has the bounds that old readers know',
    ({ table }) => chunks(table, (meta) => meta.set(12, put.struct({ 1: put.text(PLANTED), 2: put.text(PLANTED) }))),
  ],
  [
    'bloom-filter',
    'a replaced column has a bloom filter',
    ({ table }) => chunks(table, (meta) => meta.set(14, put.i64(4))),
  ],
  [
    'key-value-metadata',
    'the footer has key-value metadata',
    async ({ table }) =>
      damage.editDataFile(table, first(await damage.dataFiles(table)), {
        footer: (footer) => footer.set(5, damage.keyValue('seen', PLANTED)),
      }),
  ],
  [
    'key-value-metadata',
    'a replaced column has key-value metadata',
    ({ table }) => chunks(table, (meta) => meta.set(8, damage.keyValue('seen', PLANTED))),
  ],
  [
    'unknown-field',
    'the footer has a field that nobody knows',
    async ({ table }) =>
      damage.editDataFile(table, first(await damage.dataFiles(table)), {
        footer: (footer) => footer.set(99, put.text(PLANTED)),
      }),
  ],
  [
    'unknown-field',
    'a column has size statistics',
    ({ table }) => chunks(table, (meta) => meta.set(16, put.struct({}))),
  ],
  [
    'page-statistics',
    'the header of a page has statistics',
    async ({ table }) => {
      const file = first(await damage.dataFiles(table))
      const { dataPageOffset } = await damage.chunkOf(file, 's_vin')
      const insert = damage.widenedHeader(file, dataPageOffset, (header) => {
        const id = header.has(5) ? 5 : 8
        const inner = (header.get(id) as ThriftField).value as damage.Fields
        inner.set(id, damage.bounds(PLANTED))
      })
      await damage.editDataFile(table, file, { insert })
    },
  ],
  [
    'unreferenced-bytes',
    'bytes lie between two columns',
    async ({ table }) => {
      const file = first(await damage.dataFiles(table))
      const { end } = await damage.chunkOf(file, 's_vin')
      await damage.editDataFile(table, file, { insert: { at: end, bytes: Buffer.from(PLANTED) } })
    },
  ],
  [
    'listed-twice',
    'a snapshot has a file twice',
    async ({ table }) => {
      await damage.editManifests(table, (entries) => [...entries, ...entries])
      await totals(table, 2400, 4)
    },
  ],
  [
    'pin',
    'a pin cannot be read',
    ({ table }) => damage.setProperty(table, 'pseudolake.column.s_vin', '{"version":99}'),
  ],
  [
    'pin',
    'the approved columns cannot be read',
    ({ table }) => damage.setProperty(table, 'pseudolake.columns', 'nothing'),
  ],
  [
    'pin',
    'a pinned column was renamed',
    ({ table }) =>
      damage.editMetadata(table, (metadata) => {
        const schemas = metadata.schemas
        const renamed = structuredClone(schemas[0]) as damage.EditableMetadata['schemas'][0]
        renamed['schema-id'] = 1
        for (const field of renamed.fields) if (field.name === 's_vin') field.name = 'car'
        schemas.push(renamed)
        Object.assign(metadata, { 'current-schema-id': 1 })
        Object.assign(metadata.properties, { 'write.metadata.metrics.column.car': 'counts' })
      }),
  ],
  [
    'metrics-mode',
    'other writers are told to put bounds of a replaced column into manifests',
    ({ table }) => damage.setProperty(table, 'write.metadata.metrics.column.s_vin', 'truncate(16)'),
  ],
  ['mark', 'a mark cannot be read', ({ table }) => damage.setProperty(table, 'pseudolake.job.test', '{"version":99}')],
  ['ledger', 'a ledger is altered', async (home) => appendFileSync(ledger(home, 1), ' ')],
  ['ledger', 'the newest ledger is gone', async (home) => rmSync(ledger(home, 2))],
  [
    'rolled-back',
    'the table was rolled back behind the mark',
    ({ table }) =>
      damage.editMetadata(table, (metadata) => {
        const id = metadata.snapshots[0]?.['snapshot-id']
        Object.assign(metadata, { 'current-snapshot-id': id, refs: { main: { 'snapshot-id': id, type: 'branch' } } })
      }),
  ],
  [
    'ledger-file-gone',
    'files that were written are no longer in the table, and nobody says why',
    async ({ table }) => {
      await damage.editManifests(table, (entries) => entries.slice(0, -1))
      await totals(table, 0, 0)
    },
  ],
]

/** The others that come of the same damage: a file that nobody names any more is an orphan, and so on. */
const COMES_WITH: Partial<Record<string, readonly FindingKind[]>> = {
  'a manifest is gone': ['ledger-file-gone', 'orphan'],
  'a manifest list is gone': ['ledger-file-gone', 'orphan'],
  'the newest ledger is gone': ['orphan'],
  'a mark cannot be read': ['orphan'],
  'the table was rolled back behind the mark': ['ledger-file-gone'],
  'files that were written are no longer in the table, and nobody says why': ['orphan'],
}

test.for(PLANTED_DAMAGE)('%s: %s', async ([kind, what, plant, full = false]) => {
  const home = await made()
  await plant(home)
  if (full) expect(await kinds(home.table)).toEqual([])
  const report = await verified(home.table, { full })
  expect(report.status).toBe('needs-a-look')
  expect(Object.keys(report.counts)).toContain(kind)
  const others = Object.keys(report.counts).filter((found) => found !== kind)
  for (const other of others) expect(COMES_WITH[what] ?? [], what).toContain(other)
  expect(JSON.stringify(report)).not.toContain(PLANTED)
})

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

test('a manifest that holds other files than its list says is found', async () => {
  const { table } = await made()
  const [manifest] = readdirSync(join(table, 'metadata')).filter((name) => /-m\d+\.avro$/.test(name))
  const path = join(table, 'metadata', manifest as string)
  const before = readFileSync(path)
  await damage.editManifests(table, (entries) => [...entries, ...entries])
  const doubled = readFileSync(path)
  await damage.editManifests(table, (entries) => entries.slice(0, entries.length / 2))
  writeFileSync(path, doubled)
  expect(await kinds(table)).toEqual(['listed-twice', 'manifest-counts', 'size-differs'])
  writeFileSync(path, before)
})

test('orphans are listed; young ones may be in flight and harm nothing, old ones need a look', async () => {
  const home = await made()
  const { table } = home
  const planted = [
    join(table, 'data', 'left.parquet'),
    join(table, 'metadata', 'left-m0.avro'),
    join(dirname(ledger(home, 2)), '00000003-left.jsonl'),
    join(home.dir, 'warehouse/_pseudolake/unpublished/db.t/test/left.json'),
  ]
  for (const file of planted) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, PLANTED)
  }
  const young = await verified(table)
  expect(young.status).toBe('clean')
  expect(young.findings).toEqual(
    [...planted]
      .sort()
      .map((location) =>
        expect.objectContaining({ kind: 'orphan', location, bytes: PLANTED.length, maybe_in_flight: true }),
      ),
  )
  const old = (Date.now() - 4 * DAY) / 1000
  utimesSync(planted[0] as string, old, old)
  const later = await verified(table)
  expect(later.status).toBe('needs-a-look')
  expect(later.findings.filter(({ maybe_in_flight: young }) => !young)).toMatchObject([{ location: planted[0] }])
})

test('an earlier version of the table can be verified, without a search for orphans', async () => {
  const { table } = await made()
  const report = await verified(join(table, 'metadata', 'v1.metadata.json'))
  expect(report).toMatchObject({ status: 'clean', checked: { data_files: 1 }, jobs: [{ epoch: 1, inputs: 1 }] })
  expect(report.notes).toEqual([expect.stringContaining('not the newest version')])
})

test('snapshots that were expired leave no false alarm behind', async () => {
  const { table } = await made()
  await damage.editManifests(table, (entries) => entries)
  await damage.editMetadata(table, (metadata) => {
    Object.assign(metadata, { snapshots: metadata.snapshots.slice(1), 'snapshot-log': [] })
  })
  rmSync(metadataFile(table, /^v1\.metadata/))
  const report = await verified(table)
  // The list of the expired snapshot is still there, and young.
  expect(report).toMatchObject({ status: 'clean', counts: { orphan: 1 }, jobs: [{ files_in_table: 2 }] })
  expect(report.notes).toEqual([expect.stringContaining('earlier metadata')])
})

test('the command says clean with status 0, and what needs a look with status 1, as text and as one document', async () => {
  const { table } = await made()
  const clean = await pseudolake(['table', 'verify', table])
  expect(clean).toMatchObject({ code: 0, stdout: expect.stringMatching(/replaced columns: s_vin;[\s\S]*\nclean\n$/) })
  const file = first(await damage.dataFiles(table))
  unlinkSync(file)
  const { code, stdout } = await pseudolake(['table', 'verify', table, '--full', '--json'])
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    status: 'needs-a-look',
    full: true,
    counts: { 'missing-file': 1 },
    findings: [{ kind: 'missing-file', location: file, message: expect.any(String) }],
  })
  expect((await pseudolake(['table', 'verify', table])).stdout).toMatch(/missing-file \(1\): [\s\S]*needs a look\n$/)
  const none = await pseudolake(['table', 'verify', join(table, 'nowhere'), '--json'])
  expect([none.code, JSON.parse(none.stdout).error.code]).toEqual([2, 'table/not-found'])
}, 60_000)

test('a verification that is told to stop says so', async () => {
  const { table } = await made()
  await expect(verified(table, { signal: AbortSignal.abort(new Error('SIGINT')) })).rejects.toMatchObject({
    code: 'run/interrupted',
  })
})

test('locations that were seen are told from those that were not, however many', () => {
  const seen = new LocationSet()
  for (let i = 0; i < 20_000; i++) expect(seen.add(`/lake/data/${i}.parquet`)).toBe(true)
  for (let i = 0; i < 20_000; i++) expect(seen.add(`/lake/data/${i}.parquet`)).toBe(false)
  expect(seen.size).toBe(20_000)
  for (let i = 0; i < 20_000; i++) expect(seen.has(`/lake/data/${i}.parquet.crc`)).toBe(false)
})

test('docs/verify.md explains every kind of finding', () => {
  const page = readFileSync('docs/verify.md', 'utf8')
  for (const [kind, meaning] of Object.entries(FINDING_KINDS)) expect(page).toContain(`| \`${kind}\` | ${meaning} |`)
})

test('every kind of finding has a test that plants it', () => {
  const planted = new Set([...PLANTED_DAMAGE.map(([kind]) => kind), 'not-a-pseudonym', 'manifest-counts', 'orphan'])
  expect([...planted].sort()).toEqual(Object.keys(FINDING_KINDS).sort())
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
