import { mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { LocationSet } from '../../../lib/iceberg/location-set.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { lake } from '../../helpers/lake.ts'
import * as damage from './damage.ts'
import { DAY, first, kinds, ledger, made, metadataFile, PLANTED, verified } from './made.ts'

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
