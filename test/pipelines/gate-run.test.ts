import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { startService } from '../../service/start.ts'
import { pseudolake } from '../helpers/cli.ts'
import { type Lake, lake } from '../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }
const VEHICLES = `select 'dept' || (i % 5) as dept, 'VEHICLE' || (i % 40) as vin, i as n from range(1000) r(i)`
const HIDING = `select 'VEHICLE' || (i % 40) as vin, 'VEHICLE' || ((i + 1) % 40) as before from range(1000) r(i)`

async function inputs(home: Lake, files: Record<string, string>): Promise<void> {
  for (const [name, select] of Object.entries(files)) {
    const path = join(home.dir, 'in', name)
    mkdirSync(join(path, '..'), { recursive: true })
    await home.sql(`copy (${select}) to '${path}' (format parquet, compression uncompressed)`)
  }
}

/** Writes a data file of a given number with one text in the place of another. */
function faulty(number: string, text: string, other: string): Storage {
  const storage = localStorage()
  return {
    ...storage,
    async write(location) {
      const writer = await storage.write(location)
      if (!location.endsWith(`-${number}.parquet`)) return writer
      return {
        get bytes() {
          return writer.bytes
        },
        async write(bytes) {
          const at = Buffer.from(bytes).indexOf(text)
          const changed = Buffer.from(bytes)
          if (at >= 0) changed.write(other, at)
          await writer.write(changed)
        },
        close: () => writer.close(),
        abort: () => writer.abort(),
      }
    },
  }
}

const dataFiles = (home: Lake) =>
  existsSync(join(home.table, 'data'))
    ? readdirSync(join(home.table, 'data')).filter((name) => name.endsWith('.parquet'))
    : []

const failedOf = (report: BatchReport) => report.gate.checks.filter(({ passed }) => !passed).map(({ name }) => name)

test('a run that is right has looked at everything it wrote, and says so', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  const report = await home.run({ columns: VIN, set: ['commit.max_files=1', 'gate.reidentify=true'] })
  expect(report).toMatchObject({ status: 'done', commits: 2, gate: { passed: true } })
  const counts = Object.fromEntries(report.gate.checks.map((check) => [check.name, check.counts]))
  expect(counts.rows).toMatchObject({ files: 2, rows: 2000 })
  expect(counts.one_to_one).toEqual({ chunks: 2 })
  expect(counts.originals).toMatchObject({ cells: 2000, matches: 0 })
  expect(counts.round_trip).toEqual({ pseudonyms: 40 })
})

test('a sample goes back through a service that asks what for: with the purpose that was granted, and no other', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const caller = {
    name: 'nightly',
    key_sha256: createHash('sha256').update('the-key').digest('hex'),
    permissions: ['pseudonymize', 'reidentify'],
    purposes: ['gate'],
    until: '2999-01-01',
  }
  const apiKeys = join(home.dir, 'callers.json')
  writeFileSync(apiKeys, JSON.stringify({ version: 2, callers: [caller] }))
  const { url, close } = await startService({ keyring: home.keyring, auth: { apiKeys } })
  onTestFinished(close)
  const job = {
    job: 'nightly',
    input: { path: join(home.dir, 'in') },
    columns: VIN,
    service: { url: `${url}/pseudonymization`, api_key: { env: 'KEY' }, purpose: 'gate' },
    output: { table: 'db.t', warehouse: join(home.dir, 'warehouse') },
    gate: { reidentify: true },
  }
  writeFileSync(join(home.dir, 'job.json'), JSON.stringify(job))
  const run = (...more: string[]) =>
    pseudolake(['batch', '--config', 'job.json', '--json', ...more], { cwd: home.dir, env: { KEY: 'the-key' } })
  const roundTrip = async (...more: string[]) => {
    const { code, stdout } = await run(...more)
    expect(code).toBe(0)
    const { gate } = JSON.parse(stdout)
    return gate.checks.find(({ name }: { name: string }) => name === 'round_trip')
  }
  expect((await roundTrip()).counts).toEqual({ pseudonyms: 40 })
  // Without the right to it there is no sample, and the report says so.
  const other = ['--set', 'service.purpose=other', '--set', 'output.table=db.u']
  expect((await roundTrip(...other)).counts).not.toHaveProperty('pseudonyms')
  expect((await run('--set', 'service.purpose=NOT A NAME')).code).toBe(2)
}, 60_000)

test('a step that fails publishes nothing, the steps before it stand, and a run without the fault does the rest', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  const storage = faulty('00001', 'dept3', 'dept4')
  const report = await home.run({ columns: VIN, set: ['commit.max_files=1'] }, {}, { storage })
  expect(report).toMatchObject({ status: 'gate-failed', commits: 1, rows: 1000, files: 1, gate: { passed: false } })
  expect(failedOf(report)).toEqual(['copied_bytes'])
  expect(dataFiles(home)).toHaveLength(1)
  expect(await home.query('select count(*) from t')).toEqual([['1000']])
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', files: 1, skipped_files: 1 })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})

test('a first step that fails makes no table', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': HIDING })
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({ status: 'gate-failed', commits: 0, rows: 0, snapshot_id: null })
  expect(failedOf(report)).toEqual(['originals'])
  expect(existsSync(join(home.table, 'metadata'))).toBe(false)
})

test('files that an earlier run finished are looked at again for their values', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': HIDING })
  await home.run({ columns: VIN })
  expect(dataFiles(home)).toHaveLength(1)
  const report = await home.run({ columns: VIN })
  expect(failedOf(report)).toEqual(['originals'])
  expect(report.gate.checks.find(({ name }) => name === 'byte_ranges')?.notes).toEqual([
    'files that an earlier run wrote, and looked at then',
  ])
  expect(await home.run({ columns: VIN, set: ['gate.max_match_ratio=1'] })).toMatchObject({
    status: 'done',
    rows: 1000,
  })
})

test('folders that are replaced columns pass, also in mode random', async () => {
  const home = await lake()
  const part = `select i as n from range(100) r(i)`
  await inputs(home, { 'vin=VEHICLE1/a.parquet': part, 'vin=VEHICLE2/a.parquet': part, 'vin=VEHICLE2/b.parquet': part })
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', rows: 300 })
  expect(await home.query('select count(distinct s_vin) from t')).toEqual([['2']])
  const other = await lake()
  await inputs(other, { 'vin=VEHICLE1/a.parquet': part, 'vin=VEHICLE1/b.parquet': part })
  expect(await other.run({ columns: { vin: { mode: 'random' } } })).toMatchObject({ status: 'done', rows: 200 })
})

test('on the command line a failed gate is exit 1 with the report, and names columns but no values', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': HIDING })
  const config = join(home.dir, 'job.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      job: 'test',
      input: { path: join(home.dir, 'in') },
      columns: VIN,
      service: { embedded: { keyring: home.keyring } },
      output: { table: 'db.t', warehouse: join(home.dir, 'warehouse') },
    }),
  )
  const json = await pseudolake(['batch', '--config', config, '--json'])
  expect(json.code).toBe(1)
  expect(JSON.parse(json.stdout)).toMatchObject({ status: 'gate-failed', commits: 0, gate: { passed: false } })
  const text = await pseudolake(['batch', '--config', config])
  expect(text.code).toBe(1)
  expect(text.stdout).toContain('gate: originals failed')
  expect(text.stdout).toContain('column before')
  expect(json.stdout + json.stderr + text.stdout + text.stderr).not.toContain('VEHICLE')
  const allowed = await pseudolake(['batch', '--config', config, '--set', 'gate.max_match_ratio=1'])
  expect(allowed.code).toBe(0)
  expect(allowed.stdout).toContain('checks passed')
})
