/** A job whose inputs, table and service belong to three accounts: everything is asked as the role of its side, and as no other. */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { runBatch } from '../../pipelines/batch/run.ts'
import { jobCatalog } from '../../pipelines/catalog.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { connectService } from '../../pipelines/service.ts'
import { jobStorage } from '../../pipelines/storages.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { accessKeyOf, awsError, type FakeAws, fakeAws } from '../helpers/aws.ts'
import { pseudolake } from '../helpers/cli.ts'
import { type GlueFake, glueFake } from '../helpers/glue-fake.ts'
import { duckdb } from '../helpers/lake.ts'
import { type FakeS3, fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'

vi.setConfig({ testTimeout: 60_000 })

const role = (name: string) => `arn:aws:iam::111111111111:role/${name}`

const keyOf = (name: string) => accessKeyOf(role(name))

interface Accounts {
  readonly dir: string
  readonly s3: FakeS3
  readonly glue: GlueFake
  readonly aws: FakeAws
  readonly config: string
  readonly env: Record<string, string>
}

/** Each bucket, the catalog and the secret refuse everybody but one role. */
async function accounts(): Promise<Accounts> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-accounts-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const glue = await glueFake(['db'])
  const keyring = writeKeyring(createKeyring({ randomBytes, now: 0 }))
  const aws = await fakeAws(
    async ({ service, operation, accessKey, headers, body }) => {
      if (service === 'glue') {
        if (accessKey !== keyOf('catalog')) return awsError('AccessDeniedException', 400)
        const sent = { 'x-amz-target': String(headers['x-amz-target']), 'content-type': 'application/x-amz-json-1.1' }
        const answer = await fetch(glue.url, { method: 'POST', headers: sent, body: new Uint8Array(body) })
        return { status: answer.status, body: await answer.text() }
      }
      if (operation === 'AssumeRole' && body.toString().includes('forbidden'))
        return {
          status: 403,
          headers: { 'content-type': 'text/xml' },
          body: '<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>',
        }
      if (operation === 'GetSecretValue' && accessKey !== keyOf('service')) return awsError('AccessDeniedException')
      return undefined
    },
    { 'team/keys': keyring },
  )
  const s3 = await fakeS3(['raw', 'lake'])
  onTestFinished(() => s3.close())
  const own = s3Over(s3.endpoint)
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    const file = join(dir, 'made.parquet')
    await duckdb(`copy (select 'VIN' || (i + ${i * 500}) as vin, i as n from range(1000) r(i)) to '${file}'`)
    await own.replace(`s3://raw/in/${name}.parquet`, readFileSync(file))
  }
  // From here on the key that everybody starts with opens nothing.
  s3.fault = ({ bucket, headers }) => {
    const key = /Credential=([^/]+)\//.exec(String(headers.authorization))?.[1]
    return key === keyOf(bucket === 'raw' ? 'source' : 'catalog')
      ? undefined
      : { kind: 'refuse', status: 403, code: 'AccessDenied' }
  }
  const config = join(dir, 'job.yaml')
  writeFileSync(
    config,
    `job: three-accounts
input: { path: "s3://raw/in/", aws: { role_arn: "${role('source')}", external_id: shared } }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: { secret: team/keys } }, aws: { role_arn: "${role('service')}" } }
output:
  table: db.t
  warehouse: s3://lake/warehouse
  catalog: { type: glue }
  aws: { role_arn: "${role('catalog')}", session_name: writer }
aws: { region: eu-west-1, endpoints: { s3: "${s3.endpoint}" } }
`,
  )
  const { AWS_REGION: _, ...env } = aws.env
  return { dir, s3, glue, aws, config, env }
}

test('everything is asked as the role of its side, and as no other', async () => {
  const { aws, config, env, glue, s3 } = await accounts()
  const { code, stdout, stderr } = await pseudolake(['batch', '--config', config, '--json'], { env })
  expect([code, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toMatchObject({ status: 'done', rows: 3000, distinct: 2000 })
  expect(glue.tables.has('db.t')).toBe(true)
  expect(new Set(s3.asked.map(({ bucket }) => bucket))).toEqual(new Set(['raw', 'lake']))
  // A store can't copy from one account to the other with either one's rights.
  expect(s3.count('UploadPartCopy')).toBe(0)
  const assumed = aws.received.filter(({ operation }) => operation === 'AssumeRole')
  const asked = assumed.map(({ body }) => Object.fromEntries(new URLSearchParams(body.toString())))
  expect(
    asked.map(({ RoleArn, ExternalId, RoleSessionName }) => [RoleArn, ExternalId, RoleSessionName]).sort(),
  ).toEqual([
    [role('catalog'), undefined, 'writer'],
    [role('service'), undefined, 'pseudolake-three-accounts'],
    [role('source'), 'shared', 'pseudolake-three-accounts'],
  ])
  const again = await pseudolake(['batch', '--config', config, '--json'], { env })
  expect(JSON.parse(again.stdout)).toMatchObject({ status: 'nothing-to-do' })
  for (const command of [
    ['table', 'verify', 'glue:db.t', '--config', config],
    ['table', 'files', 'glue:db.t', '--config', config],
  ])
    expect((await pseudolake(command, { env })).code).toBe(0)
  // Without the configuration there is no role.
  expect((await pseudolake(['table', 'show', 'glue:db.t'], { env: { ...env, AWS_REGION: 'eu-west-1' } })).code).toBe(2)
})

test.each([
  ['input.aws', 'storage/denied', 's3://raw/in/'],
  ['output.aws', 'catalog/denied', 'glue:GetTable'],
  ['service.aws', 'secret/denied', 'secretsmanager:GetSecretValue'],
])('without the role of %s nothing is written, and the missing right is named', async (section, expected, says) => {
  const { config, env, s3 } = await accounts()
  const { code, stdout } = await pseudolake(['batch', '--config', config, '--json', '--set', `${section}={}`], { env })
  const { error } = JSON.parse(stdout)
  expect([code, error.code]).toEqual([2, expected])
  expect(error.message).toContain(says)
  expect(
    s3.buckets
      .get('lake')
      ?.keys('')
      .filter((key) => key.endsWith('.parquet')),
  ).toEqual([])
})

test('a role that may not be assumed ends the run before anything is written, also where it is the catalog’s', async () => {
  const { config, env, s3, aws } = await accounts()
  const forbidden = role('forbidden')
  const over = ['--set', `output.aws.role_arn=${forbidden}`]
  const { code, stdout } = await pseudolake(['batch', '--config', config, '--json', ...over], { env })
  expect([code, JSON.parse(stdout).error]).toMatchObject([
    2,
    {
      code: 'aws/denied',
      outcome: 'nothing-published',
      message: expect.stringContaining(`sts:AssumeRole on ${forbidden}`),
    },
  ])
  expect(aws.received.some(({ service }) => service === 'glue')).toBe(false)
  expect(s3.buckets.get('lake')?.keys('')).toEqual([])
})

test('threads ask as the roles of the job too', async () => {
  const { config, dir, env, s3, aws: fake } = await accounts()
  const before = { ...process.env }
  Object.assign(process.env, env)
  onTestFinished(() => {
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })
  const settings = readBatchConfig(readFileSync(config, 'utf8'), { set: ['limits.memory_mb=1024'] })
  const job = batchJob(settings, dir)
  const { aws, close } = lazyAws(env)
  onTestFinished(close)
  const clock = systemClock()
  const places = { env, clock, random: Math.random, uuid: randomUUID, aws }
  const report = await runBatch(job, {
    storage: jobStorage(job, places),
    catalog: await jobCatalog(settings, job.warehouse, places),
    connect: () => connectService(settings, { env, cwd: dir, clock, random: Math.random, randomBytes, aws }),
    clock,
    random: Math.random,
    uuid: randomUUID,
    runId: 'threads-1',
    createdBy: 'pseudolake version 0.0.0',
    command: 'pseudolake batch',
    usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
    threads: { most: 2, leastBytes: 1 },
    signal: new AbortController().signal,
  })
  expect(report).toMatchObject({ status: 'done', rows: 3000, files: 3 })
  expect(s3.count('PutObject')).toBeGreaterThan(3)
  // Each thread signs by itself, so it has assumed the roles by itself.
  expect(fake.operations().filter((name) => name === 'AssumeRole').length).toBeGreaterThan(3)
})
