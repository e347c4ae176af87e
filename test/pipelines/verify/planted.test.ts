import { appendFileSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { put, type ThriftField } from '../../../lib/parquet/thrift.ts'
import { checksumFileOf } from '../../../pipelines/verify/checksum.ts'
import { FINDING_KINDS, type FindingKind } from '../../../pipelines/verify/findings.ts'
import type { Lake } from '../../helpers/lake.ts'
import * as damage from './damage.ts'
import { first, kinds, ledger, made, metadataFile, PLANTED, totals, verified } from './made.ts'

/** Changes the metadata of the replaced column in one file. */
async function chunks(table: string, edit: (meta: damage.Fields) => void) {
  await damage.editDataFile(table, first(await damage.dataFiles(table)), {
    chunk: (meta, _, column) => {
      if (column === 's_vin') edit(meta)
    },
  })
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

test('docs/verify.md explains every kind of finding', () => {
  const page = readFileSync('docs/verify.md', 'utf8')
  for (const [kind, meaning] of Object.entries(FINDING_KINDS)) expect(page).toContain(`| \`${kind}\` | ${meaning} |`)
})

test('every kind of finding has a test that plants it', () => {
  const ofStreams = ['positions', 'quarantine', 'seen-keys']
  const others = ['not-a-pseudonym', 'manifest-counts', 'orphan', ...ofStreams]
  const planted = new Set([...PLANTED_DAMAGE.map(([kind]) => kind as string), ...others])
  expect([...planted].sort()).toEqual(Object.keys(FINDING_KINDS).sort())
})
