import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'

const FILES = 30
const ROWS = 2000
const KEY = 'a-long-enough-api-key'

test('a service that dies in the middle of a run: status 3, its commits stand, and the next run does exactly the rest', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (let i = 0; i < FILES; i++)
    await home.sql(
      `copy (select 'VIN' || (i + ${i * ROWS}) as vin, i + ${i * ROWS} as n from range(${ROWS}) r(i)) to '{dir}/in/${String(i).padStart(2, '0')}.parquet'`,
    )
  const service = (port: number) =>
    start(['service', 'start', '--keyring', home.keyring, '--port', String(port)], { env: { PSEUDOLAKE_API_KEY: KEY } })
  const first = service(0)
  const url = (await firstLine(first)).slice('listening on '.length)
  writeFileSync(
    join(home.dir, 'job.yaml'),
    JSON.stringify({
      job: 'nightly',
      input: { path: 'in' },
      columns: { vin: { mode: 'deterministic' } },
      service: { url: `${url}/pseudonymization`, api_key: { env: 'KEY' } },
      output: { table: 'db.t', warehouse: 'warehouse' },
      commit: { max_files: 2 },
    }),
  )
  const batch = () => start(['batch', '--config', 'job.yaml', '--json'], { cwd: home.dir, env: { KEY } })
  const run = batch()
  while (!existsSync(join(home.table, 'metadata', 'v2.metadata.json'))) await new Promise((done) => setTimeout(done, 5))
  first.child.kill('SIGKILL')
  const { code, stdout, stderr } = await run.ended
  expect([code, JSON.parse(stdout)]).toEqual([
    3,
    {
      status: 'failed',
      error: {
        code: 'service/unavailable',
        retryable: true,
        outcome: 'partly-published',
        message: expect.stringMatching(/\S/),
        hint: expect.stringMatching(/\S/),
      },
    },
  ])
  expect(stdout + stderr).not.toMatch(/VIN\d|api-key/)
  const before = Number((await home.query('select count(*) from t'))[0]?.[0])
  expect(before).toBeGreaterThanOrEqual(4 * ROWS)
  expect(before).toBeLessThan(FILES * ROWS)

  const again = service(Number(new URL(url).port))
  await firstLine(again)
  const rest = await batch().ended
  expect(rest.code).toBe(0)
  const report = JSON.parse(rest.stdout)
  expect(report).toMatchObject({ status: 'done', rows: FILES * ROWS - before })
  const rows = await home.query('select s_vin, n from t order by n')
  const vins = await home.back(rows.slice(0, 500).map(([vin]) => vin))
  expect(rows.map(([, n]) => Number(n))).toEqual(Array.from({ length: FILES * ROWS }, (_, n) => n))
  expect(vins).toEqual(Array.from({ length: 500 }, (_, n) => `VIN${n}`))
  expect((await pseudolake(['table', 'verify', home.table])).code).toBe(0)
  again.child.kill('SIGTERM')
  await again.ended
}, 120_000)
