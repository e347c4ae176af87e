import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shippedPrices } from '../../pipelines/batch/plan/prices.ts'
import { pseudolake } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'

async function job() {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  await home.sql(
    `copy (select 'VIN' || (i % 40) as vin, i as "\u001b[2Jn" from range(1000) r(i)) to '{dir}/in/a.parquet' (format parquet)`,
  )
  const config = {
    job: 'nightly',
    input: { path: 'in' },
    columns: { vin: { mode: 'deterministic', normalize: ['upper'] } },
    service: { embedded: { keyring: 'keys.json' } },
    output: { table: 'db.t', warehouse: 'lake' },
  }
  writeFileSync(join(home.dir, 'job.yaml'), JSON.stringify(config))
  const batch = (...args: string[]) => pseudolake(['batch', '--config', 'job.yaml', ...args], { cwd: home.dir })
  return { ...home, batch, config }
}

test('batch --plan prints files, columns, requests, sizes, time and cost, and leaves the folder as it was', async () => {
  const home = await job()
  const before = readdirSync(home.dir, { recursive: true }).sort()
  const { code, stdout, stderr } = await home.batch('--plan')
  expect([code, stderr]).toEqual([0, ''])
  for (const said of [
    'plan of nightly: 1,000 rows of 1 file',
    /vin +replaced deterministic as s_vin +string +1 swap-dictionary +1,000 +0 +40/,
    'normalization merges 0 distinct values of vin with others',
    'distinct values to send: 40',
    'requests: 2, 1 of them for the key check (passed now)',
    /output: about .* in 1 file/,
    'creates: the folder of database db; table db.t with 2 columns; 1 snapshot; 1 data file; table properties ',
    /time: about /,
    /cost: .*USD .* \(prices of \d{4}-\d\d-\d\d: /,
    'nothing was written',
  ])
    expect(stdout).toMatch(said)
  expect(stdout).not.toContain('\u001b')
  expect(readdirSync(home.dir, { recursive: true }).sort()).toEqual(before)
})

test('batch --plan --json is one document, and a price file of one’s own counts in it', async () => {
  const home = await job()
  const prices = shippedPrices()
  const own = { version: 1, ...prices, date: '2031-02-03', currency: 'EUR', source: 'our contract' }
  writeFileSync(join(home.dir, 'p.json'), JSON.stringify(own))
  const { code, stdout } = await home.batch('--plan', '--json', '--prices', 'p.json')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    job: 'nightly',
    status: 'planned',
    rows: 1000,
    distinct: { values: 40, quality: 'exact' },
    cost: { currency: 'EUR', date: '2031-02-03', source: 'our contract' },
  })
  writeFileSync(join(home.dir, 'p.json'), '{}')
  expect(await home.batch('--plan', '--prices', 'p.json')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('p.json: version: expected 1'),
  })
})

test('a plan names a service that is not there, and still plans', async () => {
  const home = await job()
  const service = { url: 'http://127.0.0.1:9/pseudonymization', api_key: { env: 'KEY' } }
  writeFileSync(join(home.dir, 'job.yaml'), JSON.stringify({ ...home.config, service }))
  const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--plan', '--json'], {
    cwd: home.dir,
    env: { KEY: 'k' },
  })
  expect(code).toBe(0)
  const plan = JSON.parse(stdout)
  expect(plan).toMatchObject({ rows: 1000, service: { key_check: 'not-reached', requests: 2 } })
  expect(plan.cost.items.map(({ name }: { name: string }) => name)).toContain('gateway requests')
}, 30_000)

test('batch --report writes a page, and --json holds the plan against what came of it', async () => {
  const home = await job()
  const { code, stdout, stderr } = await home.batch('--report', 'run.html', '--json')
  expect([code, stderr]).toEqual([0, ''])
  const report = JSON.parse(stdout)
  expect(report.plan).toMatchObject({
    basis: 'dictionaries',
    requests: { planned: 2, actual: 2, quality: 'estimated' },
  })
  const page = readFileSync(join(home.dir, 'run.html'), 'utf8')
  expect(page).toContain(report.run_id)
  expect(page).toContain('Plan against actual')
  // A second run has nothing to do, and takes the page's place.
  expect((await home.batch('--report', 'run.html')).code).toBe(0)
  expect(readFileSync(join(home.dir, 'run.html'), 'utf8')).toContain('nothing to do')
}, 30_000)

test('a run that fails has its page too', async () => {
  const home = await job()
  writeFileSync(join(home.dir, 'in', 'b.parquet'), 'PAR1 and nothing else that would be Parquet PAR1')
  const { code, stdout } = await home.batch('--report', 'run.html', '--json')
  expect(code).toBe(2)
  const page = readFileSync(join(home.dir, 'run.html'), 'utf8')
  expect(page).toContain('Why it failed')
  expect(page).toContain(JSON.parse(stdout).error.code)
})

test.each([
  [['--report', 'in/run.html'], 'where data is'],
  [['--report', 'lake/db/t/run.html'], 'where data is'],
  [['--report', 'missing/run.html'], 'ENOENT'],
  [['--report', '.'], 'is no file'],
  [['--plan', '--report', 'run.html'], 'writes nothing'],
])('%j is refused before anything is read', async (args, said) => {
  const home = await job()
  const { code, stderr } = await home.batch(...args)
  expect(code).toBe(2)
  expect(stderr).toContain(said)
  expect(existsSync(join(home.dir, 'lake'))).toBe(false)
})
