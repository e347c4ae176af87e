/** A job's memory of a table that can't be followed: it stops the run, and the commands that the error prints go on, each as it says. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pseudolake } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { editMetadata, setProperty } from '../pipelines/verify/damage.ts'

async function table(plain = false) {
  const home = await lake()
  const input = (name: string, rows: number) =>
    home.sql(
      `copy (select 'VIN' || i as vin, '${name}' as file from range(${rows}) r(i)) to '{dir}/in/${name}.parquet'`,
    )
  mkdirSync(join(home.dir, 'in'))
  writeFileSync(
    join(home.dir, 'job.yaml'),
    JSON.stringify({
      job: 'nightly',
      input: { path: 'in', changed: 'replace' },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'keys.json' } },
      output: plain ? { format: 'parquet', path: 'out' } : { table: 'db.t', warehouse: 'warehouse' },
    }),
  )
  const run = async (...args: string[]) => {
    const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--json', ...args], { cwd: home.dir })
    return { code, ...JSON.parse(stdout) }
  }
  await input('a', 10)
  expect(await run()).toMatchObject({ code: 0, rows: 10 })
  await input('b', 5)
  expect(await run()).toMatchObject({ code: 0, rows: 5 })
  const rows = async () => {
    const sql = 'select file, count(*)::int as n from t group by all order by all'
    const { stdout } = await pseudolake(['query', sql, '--json', '--table', `t=${home.table}`])
    return Object.fromEntries(JSON.parse(stdout).rows.map((row: { file: string; n: number }) => [row.file, row.n]))
  }
  const verify = async () =>
    JSON.parse((await pseudolake(['table', 'verify', home.table, '--full', '--json'])).stdout).findings.filter(
      ({ kind }: { kind: string }) => kind !== 'orphan',
    )
  return { ...home, input, run, rows, verify }
}

/** As somebody does who takes the last commit back. */
function rollBack(home: { readonly table: string }): Promise<void> {
  return editMetadata(home.table, (metadata) => {
    const first = metadata.snapshots[0]?.['snapshot-id'] as bigint
    Object.assign(metadata, {
      'current-snapshot-id': first,
      refs: { main: { 'snapshot-id': first, type: 'branch' } },
    })
  })
}

function newestLedger(home: { readonly dir: string }): string {
  const root = join(home.dir, 'warehouse', '_pseudolake')
  const ledgers = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name.endsWith('.jsonl'))
    .map(({ parentPath, name }) => join(parentPath, name))
  return ledgers.sort().at(-1) as string
}

function contents(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => `${path} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`)
    .sort()
}

const WAYS = [
  ['a table that was rolled back', rollBack, { a: 10 }],
  ['a ledger that is gone', async (home: { readonly dir: string }) => rmSync(newestLedger(home)), { a: 10, b: 5 }],
  [
    'a ledger that was altered',
    async (home: { readonly dir: string }) => {
      const ledger = newestLedger(home)
      writeFileSync(ledger, readFileSync(ledger, 'utf8').replace('"rows":5', '"rows":6'))
    },
    { a: 10, b: 5 },
  ],
  [
    'a mark that is none',
    (home: { readonly table: string }) => setProperty(home.table, 'pseudolake.job.nightly', '{"version":1,'),
    { a: 10, b: 5 },
  ],
] as const

test.each(WAYS)(
  '%s stops the run before anything is written, whether there is anything new or not',
  async (_, damage, there) => {
    const home = await table()
    await damage(home)
    const before = contents(join(home.dir, 'warehouse'))
    for (const args of [[], ['--plan'], ['--inputs-from', 'list.txt']]) {
      writeFileSync(join(home.dir, 'list.txt'), 'in/a.parquet\n')
      const { code, error } = await home.run(...args)
      expect([code, error.code, error.outcome]).toEqual([2, 'table/mark-unreadable', 'nothing-published'])
      expect(error.hint).toMatch(/pseudolake batch --config job\.yaml .*--adopt all\. .*--adopt none$/)
    }
    await home.input('c', 3)
    expect((await home.run()).error.code).toBe('table/mark-unreadable')
    expect(contents(join(home.dir, 'warehouse'))).toEqual(before)
    expect(await home.rows()).toEqual(there)
  },
  60_000,
)

test.each(WAYS)(
  '%s: --adopt all takes what is there for done, and the next run goes on',
  async (_, damage, there) => {
    const home = await table()
    await damage(home)
    expect(await home.run('--adopt', 'all', '--plan')).toMatchObject({ code: 0, files: 0 })
    expect(await home.run('--adopt', 'all')).toMatchObject({ code: 0, status: 'done', rows: 0, skipped_files: 2 })
    expect(await home.run()).toMatchObject({ code: 0, status: 'nothing-to-do', skipped_files: 2 })
    await home.input('c', 3)
    expect(await home.run()).toMatchObject({ code: 0, rows: 3, skipped_files: 2 })
    expect(await home.rows()).toEqual({ ...there, c: 3 })
    expect(await home.verify()).toEqual([])
  },
  60_000,
)

test.each(WAYS)(
  '%s: --adopt none reads all inputs again, and the next run goes on',
  async (_, damage, there) => {
    const home = await table()
    await damage(home)
    expect(await home.run('--adopt', 'none')).toMatchObject({ code: 0, rows: 15, skipped_files: 0 })
    expect(await home.run()).toMatchObject({ code: 0, status: 'nothing-to-do', skipped_files: 2 })
    expect(await home.rows()).toEqual({ a: there.a + 10, b: ('b' in there ? there.b : 0) + 5 })
    // From here on the job knows again which rows are of which input.
    await home.input('b', 4)
    expect(await home.run()).toMatchObject({ code: 0, rows: 4 })
    expect((await home.rows()).b).toBe(('b' in there ? there.b : 0) + 4)
    expect(await home.verify()).toEqual([])
  },
  60_000,
)

test('what was rolled back is put in again, and nothing else, where a list says what is there', async () => {
  const home = await table()
  await rollBack(home)
  writeFileSync(join(home.dir, 'there.txt'), 'in/a.parquet\n')
  expect(await home.run('--adopt', 'all', '--inputs-from', 'there.txt')).toMatchObject({ code: 0, rows: 0 })
  expect(await home.run()).toMatchObject({ code: 0, rows: 5, skipped_files: 1 })
  expect(await home.rows()).toEqual({ a: 10, b: 5 })
}, 60_000)

test('what a newer version remembers is not set aside, whatever the caller says', async () => {
  const home = await table()
  await setProperty(home.table, 'pseudolake.job.nightly', '{"version":2}')
  const before = contents(join(home.dir, 'warehouse'))
  for (const args of [[], ['--adopt', 'all'], ['--adopt', 'none']])
    expect(await home.run(...args)).toMatchObject({
      code: 2,
      error: { code: 'table/mark-unreadable', hint: expect.stringMatching(/^Use the version of pseudolake/) },
    })
  expect(contents(join(home.dir, 'warehouse'))).toEqual(before)
}, 60_000)

test('--adopt changes nothing where the mark can be followed', async () => {
  const home = await table()
  for (const which of ['all', 'none'])
    expect(await home.run('--adopt', which)).toMatchObject({ code: 0, status: 'nothing-to-do', skipped_files: 2 })
}, 60_000)

test('of plain files too a ledger that is gone is set aside where the caller says so', async () => {
  const home = await table(true)
  const state = join(home.dir, 'out', '_pseudolake')
  for (const { parentPath, name } of readdirSync(state, { recursive: true, withFileTypes: true }))
    if (name.endsWith('.jsonl')) rmSync(join(parentPath, name))
  expect((await home.run()).error).toMatchObject({ code: 'table/mark-unreadable' })
  expect(await home.run('--adopt', 'all')).toMatchObject({ code: 0, rows: 0, skipped_files: 2 })
  await home.input('c', 3)
  expect(await home.run()).toMatchObject({ code: 0, rows: 3, skipped_files: 2 })
}, 60_000)
