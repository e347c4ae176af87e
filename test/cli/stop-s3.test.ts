import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { pseudolake, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'

const FILES = 6
const ROWS = 1000

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)(
  '%s in a storm of 503s ends a run in time; its commits stand, and the next run does the rest',
  async (signal, status) => {
    const home = await lake()
    const s3 = await fakeS3(['lake'])
    onTestFinished(() => s3.close())
    mkdirSync(join(home.dir, 'in'))
    for (let i = 0; i < FILES; i++)
      await home.sql(
        `copy (select 'VIN' || (i + ${i * ROWS}) as vin, i + ${i * ROWS} as n from range(${ROWS}) r(i)) to '{dir}/in/${i}.parquet'`,
      )
    writeFileSync(
      join(home.dir, 'job.yaml'),
      JSON.stringify({
        job: 'nightly',
        input: { path: 'in' },
        columns: { vin: { mode: 'deterministic' } },
        service: { embedded: { keyring: home.keyring } },
        output: { table: 'db.t', warehouse: 's3://lake/warehouse' },
        commit: { max_files: 2 },
      }),
    )
    const env = {
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL_S3: s3.endpoint,
    }
    const args = ['batch', '--config', 'job.yaml', '--json']
    const run = start(args, { cwd: home.dir, env })
    // From the first commit on the store asks to slow down.
    let refused = 0
    const stormy = new Promise<void>((seen) => {
      s3.fault = ({ operation, key }) => {
        const committed = s3.asked.some((one) => one.operation === 'PutObject' && one.key.endsWith('/v1.metadata.json'))
        if (!committed || (operation === 'PutObject' && key.endsWith('/v1.metadata.json'))) return undefined
        if (++refused === 3) seen()
        return { kind: 'refuse', status: 503, code: 'SlowDown' }
      }
    })
    await stormy
    run.child.kill(signal)
    const { code, stdout, stderr } = await run.ended
    expect([code, JSON.parse(stdout)]).toMatchObject([status, { status: 'failed', error: { retryable: true } }])
    expect(stdout + stderr).not.toMatch(/VIN\d/)

    s3.fault = undefined
    const { code: done, stdout: report } = await pseudolake(args, { cwd: home.dir, env })
    expect([done, JSON.parse(report)]).toMatchObject([0, { status: 'done' }])
    const shown = await pseudolake(['table', 'show', 's3://lake/warehouse/db/t', '--json'], { cwd: home.dir, env })
    expect(JSON.parse(shown.stdout)).toMatchObject({ rows: FILES * ROWS, files: FILES })
    const again = await pseudolake(args, { cwd: home.dir, env })
    expect(JSON.parse(again.stdout)).toMatchObject({ status: 'nothing-to-do' })
  },
  90_000,
)
