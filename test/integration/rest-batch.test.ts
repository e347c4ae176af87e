/** The batch job over Iceberg REST catalogs: who asks, whose credentials the table's files are written with, and Apache Iceberg's own server. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { accessKeyOf, awsError, fakeAws, KEYS } from '../helpers/aws.ts'
import { awsLake } from '../helpers/aws-lake.ts'
import { pyicebergCatalog, restServer } from '../helpers/catalog-servers.ts'
import { pseudolake } from '../helpers/cli.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { duckdb } from '../helpers/lake.ts'
import { restFake } from '../helpers/rest-fake.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'

vi.setConfig({ testTimeout: 60_000 })

const ROWS = `select 'VIN' || (i % 100) as vin, i as n from range(1000) r(i)`

async function folder(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-rest-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  await pseudolake(['keys', 'create', '--out', 'keys.json'], { cwd: dir })
  return dir
}

function configured(dir: string, output: string): string {
  const file = join(dir, 'job.yaml')
  writeFileSync(
    file,
    `job: rest
input: { path: "s3://raw/in/" }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output: ${output}
`,
  )
  return file
}

async function store(dir: string) {
  const s3 = await fakeS3(['raw', 'lake', 'own'])
  onTestFinished(() => s3.close())
  const made = join(dir, 'made.parquet')
  await duckdb(`copy (${ROWS}) to '${made}'`)
  await s3Over(s3.endpoint).create('s3://raw/in/a.parquet', readFileSync(made))
  return s3
}

const signer = (headers: Record<string, string | string[] | undefined>) =>
  /Credential=([^/]+)\//.exec(String(headers.authorization))?.[1]

test('a table is written with the credentials that its catalog hands out, and ledgers with one’s own', async () => {
  const dir = await folder()
  const s3 = await store(dir)
  const rest = await restFake({
    warehouse: 's3://lake/chosen',
    credentials: () => ({
      's3.access-key-id': 'vended',
      's3.secret-access-key': 'PLANTED-7f3a',
      's3.endpoint': s3.endpoint,
      'client.region': 'eu-west-1',
    }),
  })
  s3.fault = ({ bucket, headers }) =>
    signer(headers) === (bucket === 'lake' ? 'vended' : KEYS.AWS_ACCESS_KEY_ID)
      ? undefined
      : { kind: 'refuse', status: 403, code: 'AccessDenied' }
  const config = configured(
    dir,
    `{ table: db.t, state: "s3://own/state", catalog: { type: rest, uri: "${rest.uri}", access: vended } }`,
  )
  const env = { ...KEYS, AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL_S3: s3.endpoint }
  const run = () => pseudolake(['batch', '--config', config, '--json'], { cwd: dir, env })
  const first = await run()
  expect(first.stdout + first.stderr).not.toContain('PLANTED')
  expect(JSON.parse(first.stdout)).toMatchObject({ status: 'done', rows: 1000 })
  expect(JSON.parse((await run()).stdout)).toMatchObject({ status: 'nothing-to-do' })
  expect(s3.buckets.get('own')?.keys('state/').length).toBeGreaterThan(0)
  expect(
    s3.buckets
      .get('lake')
      ?.keys('chosen/')
      .some((key) => key.endsWith('.parquet')),
  ).toBe(true)
  expect(s3.count('UploadPartCopy')).toBe(0)
  const sql = 'select count(*)::int n, count(distinct s_vin)::int d from t'
  const words = ['query', sql, '--table', 't=rest:db.t', '--config', config, '--json']
  const queried = await pseudolake(words, { cwd: dir, env })
  expect(JSON.parse(queried.stdout)).toMatchObject({ rows: [{ n: 1000, d: 100 }] })
})

test('auth: sigv4 signs as the output’s role, for the service that the configuration or the host names', async () => {
  const dir = await folder()
  const s3 = await store(dir)
  const rest = await restFake()
  const role = 'arn:aws:iam::111111111111:role/catalog'
  // In front of the catalog: it checks each signature and who made it.
  const aws = await fakeAws(async ({ service, accessKey, method, url, headers, body }) => {
    if (service !== 's3tables') return undefined
    if (accessKey !== accessKeyOf(role)) return awsError('AccessDeniedException', 403)
    const sent = Object.fromEntries(Object.entries(headers).filter(([name]) => name === 'content-type')) as Record<
      string,
      string
    >
    const answer = await fetch(`${rest.uri}${url}`, {
      method,
      headers: sent,
      ...(body.length > 0 && { body: new Uint8Array(body) }),
    })
    return { status: answer.status, headers: { 'content-type': 'application/json' }, body: await answer.text() }
  })
  s3.fault = undefined
  const config = configured(
    dir,
    `{ table: db.t, warehouse: "s3://lake/w", catalog: { type: rest, uri: "${aws.url}", auth: sigv4, signing_name: s3tables }, aws: { role_arn: "${role}" } }`,
  )
  const env = { ...aws.env, AWS_ENDPOINT_URL_S3: s3.endpoint }
  const run = () => pseudolake(['batch', '--config', config, '--json'], { cwd: dir, env })
  expect(JSON.parse((await run()).stdout)).toMatchObject({ status: 'done', rows: 1000, location: 's3://lake/w/db/t' })
  expect(JSON.parse((await run()).stdout)).toMatchObject({ status: 'nothing-to-do' })
  expect(aws.received.filter(({ service }) => service === 's3tables').length).toBeGreaterThan(4)
  const denied = await pseudolake(['batch', '--config', config, '--json', '--set', 'output.aws={}'], { cwd: dir, env })
  expect([denied.code, JSON.parse(denied.stdout).error.code]).toEqual([2, 'catalog/denied'])
})

test('the client’s secret and a token come out of Secrets Manager or the environment', async () => {
  const dir = await folder()
  const s3 = await store(dir)
  const rest = await restFake({ client: { id: 'me', secret: 'PLANTED-7f3a' } })
  rest.tokens.add('PLANTED-token-7f3a')
  const aws = await fakeAws(undefined, {
    pair: 'me:PLANTED-7f3a',
    json: JSON.stringify({ client_id: 'me', client_secret: 'PLANTED-7f3a' }),
    token: 'PLANTED-token-7f3a\n',
    neither: 'PLANTED-7f3a',
  })
  const env = { ...aws.env, AWS_ENDPOINT_URL_S3: s3.endpoint, PAIR: 'me:PLANTED-7f3a', WRONG: 'me:PLANTED-wrong-7f3a' }
  const config = configured(
    dir,
    `{ table: db.t, warehouse: "s3://lake/w", catalog: { type: rest, uri: "${rest.uri}", auth: oauth2, credential: { env: PAIR } } }`,
  )
  const run = async (...set: string[]) => {
    const words = ['batch', '--config', config, '--json', ...set.flatMap((one) => ['--set', one])]
    const { code, stdout, stderr } = await pseudolake(words, { cwd: dir, env })
    expect(stdout + stderr).not.toContain('PLANTED')
    return [code, JSON.parse(stdout).error?.code ?? JSON.parse(stdout).status]
  }
  expect(await run()).toEqual([0, 'done'])
  for (const secret of ['pair', 'json'])
    expect(await run(`output.catalog.credential.secret=${secret}`)).toEqual([0, 'nothing-to-do'])
  expect(await run('output.catalog.credential=null', 'output.catalog.token.secret=token')).toEqual([0, 'nothing-to-do'])
  expect(await run('output.catalog.credential.secret=neither')).toEqual([2, 'secret/invalid'])
  expect(await run('output.catalog.credential.env=NOT_SET')).toEqual([2, 'config/invalid'])
  expect(await run('output.catalog.credential.env=WRONG')).toEqual([2, 'catalog/denied'])
})

testWith(
  ['versitygw', 'rest-catalog', 'pyiceberg'],
  'Apache Iceberg’s own server: made, appended to and read by PyIceberg',
  async () => {
    const lake = await awsLake({ pyarrow: true })
    const server = await restServer(join(lake.dir, 'rest'), lake.store, 's3://lake/rest')
    onTestFinished(() => server.stop())
    await lake.put('in/a.parquet', ROWS)
    const config = configured(
      lake.dir,
      `{ table: db.t, warehouse: "s3://lake/ours", create: database, catalog: { type: rest, uri: "${server.uri}" } }`,
    )
    expect(await lake.json('batch', '--config', config, '--plan')).toMatchObject({
      creates: { table: true, database: true },
    })
    expect(await lake.json('batch', '--config', config)).toMatchObject({
      status: 'done',
      rows: 1000,
      location: 's3://lake/ours/db/t',
    })
    await lake.put('in/b.parquet', ROWS)
    expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 1000, skipped_files: 1 })
    expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
    expect(await lake.json('table', 'show', 'rest:db.t', '--config', config)).toMatchObject({ rows: 2000 })
    const seen = await pyiceberg<number[]>(
      `from pyiceberg.catalog import load_catalog
rows = load_catalog('rest', **args).load_table('db.t').scan().to_arrow()
result = [rows.num_rows, len(set(rows['s_vin'].to_pylist()))]`,
      pyicebergCatalog(lake.store, { rest: server.uri }),
    )
    expect(seen).toEqual([2000, 100])
  },
)
