import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { checkConfig } from '../../../pipelines/config/check.ts'
import { convertConfig } from '../../../pipelines/config/convert.ts'
import { explainConfig } from '../../../pipelines/config/explain.ts'
import { readBatchConfig, readStreamConfig } from '../../../pipelines/config/load.ts'
import { streamSchema } from '../../../pipelines/config/schema.ts'
import { asBatch, streamJob } from '../../../pipelines/stream/job.ts'
import { heapGrowthPercent, LEAST_MEMORY_MB, sharedMb } from '../../../pipelines/stream/memory.ts'

/** As the original's streaming job has it. */
const ORIGINAL = `kinesis_stream_name: blog-stream
kinesis_endpoint_url: https://kinesis.eu-west-1.amazonaws.com
kinesis_region: eu-west-1
endpoint_url: https://abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization
secret_name: api-secret
determinism: 'True'
output_bucket_name: s3://lake/
input_column: vin
db_name: blog_stream_db
table_name: pseudo_table
`

const NATIVE = `job: vehicles
input: { stream: vehicles, region: eu-west-1, start: { at: "2026-01-31T00:00:00Z" } }
columns: { vin: { mode: deterministic } }
schema: { dept_id: string, vin: string, n: long, "customer.id": string, tags: list<string> }
service: { embedded: { keyring: keys.json } }
output: { table: db.t, warehouse: /lake }
`

const valid = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, validateFormats: false }).compile(
  streamSchema(),
)

test('where to start is read in whichever letters, and schema and reader agree', () => {
  const starts = (start: string) => NATIVE.replace('{ at: "2026-01-31T00:00:00Z" }', start)
  for (const [start, is] of [
    ['LATEST', 'LATEST'],
    ['latest', 'LATEST'],
    ['TRIM_HORIZON', 'TRIM_HORIZON'],
  ] as const) {
    expect(streamJob(readStreamConfig(starts(start)), '/').start).toBe(is)
    expect(valid(parse(starts(start)))).toBe(true)
  }
  expect(() => readStreamConfig(starts('earliest'))).toThrow(/trim_horizon, latest/)
})

test('KMS may have an endpoint of its own, as the other services have', () => {
  const settings = readStreamConfig(`${NATIVE}aws: { endpoints: { kms: "http://127.0.0.1:4599" } }\n`)
  expect(settings.aws?.endpoints?.kms).toBe('http://127.0.0.1:4599')
})

test('the original streaming configuration is read as it is', () => {
  const settings = readStreamConfig(ORIGINAL)
  const job = streamJob(settings, '/')
  expect(job).toMatchObject({ name: 'blog_stream_db.pseudo_table', stream: 'blog-stream', start: 'LATEST' })
  expect(job.table).toMatchObject({
    database: 'blog_stream_db',
    table: 'pseudo_table',
    warehouse: 's3://lake/realtime/warehouse',
    create: 'database',
  })
  expect(job.table.columns).toEqual([expect.objectContaining({ name: 'vin', as: 's_vin', mode: 'deterministic' })])
  expect(settings.output.catalog.type).toBe('glue')
  expect(settings.aws?.region).toBe('eu-west-1')
  expect(asBatch(settings).input.aws).toMatchObject({
    region: 'eu-west-1',
    endpoints: { kinesis: 'https://kinesis.eu-west-1.amazonaws.com' },
  })
})

test.each([
  ['as it is', ORIGINAL],
  ['an endpoint without its scheme', ORIGINAL.replace('https://kinesis', 'kinesis')],
  ['a region of its own for the stream', `${ORIGINAL}aws_region: eu-central-1\n`],
])('a converted original means what it meant: %s', (_, source) => {
  const { yaml } = convertConfig(source)
  expect(readStreamConfig(yaml)).toEqual(readStreamConfig(source))
  expect(yaml).toContain('# was kinesis_stream_name')
  expect(valid(parse(yaml)), JSON.stringify(valid.errors)).toBe(true)
})

test('kinesis_stream_name without a value is none, and the configuration a batch run’s', () => {
  const batch = ORIGINAL.replace('kinesis_stream_name: blog-stream', 'kinesis_stream_name:\ninput_s3_path: s3://raw/')
  expect(readBatchConfig(batch).input.path).toBe('s3://raw/')
})

test('each command refuses the other one’s configuration, and names it', () => {
  const refused = (hint: string) =>
    expect.objectContaining({
      code: 'config/invalid',
      context: expect.objectContaining({ hint: expect.stringContaining(hint) }),
    })
  expect(() => readBatchConfig(ORIGINAL)).toThrow(refused('pseudolake stream'))
  expect(() => readBatchConfig(NATIVE)).toThrow(refused('pseudolake stream'))
  expect(() => readStreamConfig(NATIVE.replace(/^input:.*$/m, 'input: { path: /in }'))).toThrow(
    refused('pseudolake batch'),
  )
})

test('config check and explain know both forms', () => {
  expect(checkConfig(NATIVE, {}, '/')).toMatchObject({ form: 'native', kind: 'stream', problems: [] })
  expect(checkConfig(ORIGINAL, {}, '/')).toMatchObject({ form: 'original', kind: 'stream', problems: [] })
  const explained = explainConfig(ORIGINAL, { set: ['commit.every=5s'] })
  expect(explained).toContainEqual({
    key: 'input.stream',
    value: 'blog-stream',
    origin: 'file',
    line: 1,
    from: 'kinesis_stream_name',
  })
  expect(explained).toContainEqual({ key: 'input.start', value: 'latest', origin: 'form' })
  expect(explained).toContainEqual({ key: 'commit.every', value: 5000, origin: 'set', from: '--set commit.every' })
  expect(explained).toContainEqual({ key: 'new_fields', value: 'ignore', origin: 'default' })
})

test.each([
  ['a type that is none', 'schema.n=number', 'schema.n'],
  [
    'two recipients',
    'quarantine={path: /q, recipient: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, kms_key_id: k}',
    'quarantine',
  ],
  ['none', 'quarantine.path=/q', 'quarantine'],
  ['less memory than can be held', 'limits.memory_mb=319', 'limits.memory_mb'],
  ['plain files', 'output.format=parquet', 'output.format'],
  ['a column that is there', 'record_columns.shard=dept_id', 'record_columns'],
  ['one name for two columns', 'record_columns={shard: a, sequence_number: a}', 'record_columns'],
])('settings that do not go together are refused: %s', (_, set, key) => {
  const { problems } = checkConfig(NATIVE, { set: [set] }, '/')
  expect(problems[0]).toMatchObject({ code: 'config/invalid', context: { key } })
})

test.each([
  ['input.stream', ''],
  ['input.start', 'yesterday'],
  ['input.start', { at: '2026-01-31' }],
  ['new_fields', 'keep'],
  ['commit.every', 'often'],
  ['quarantine', { path: '/q', recipient: 'short' }],
  ['dedupe', { keys: 'vin' }],
  ['upkeep.min_files', 1],
  ['metrics', { port: 70000 }],
  ['records', {}],
])('%s = %j is refused by schema and reader alike', (key, value) => {
  const tree = parse(NATIVE) as Record<string, Record<string, unknown>>
  const [section = '', word] = key.split('.')
  if (word === undefined) tree[section] = value as Record<string, unknown>
  else tree[section] = { ...tree[section], [word]: value }
  expect(valid(tree)).toBe(false)
  expect(() => readStreamConfig(JSON.stringify(tree))).toThrow()
})

test('an ARN names a stream', () => {
  const arn = 'arn:aws:kinesis:eu-west-1:111111111111:stream/vehicles'
  expect(streamJob(readStreamConfig(NATIVE, { set: [`input.stream=${arn}`] }), '/').stream).toBe(arn)
})

test('of a small limit less is shared than there is, and never more of a smaller one', () => {
  expect(sharedMb(LEAST_MEMORY_MB)).toBe(64)
  for (let mb = LEAST_MEMORY_MB; mb < 600; mb++) {
    expect(sharedMb(mb)).toBeLessThanOrEqual(mb)
    expect(sharedMb(mb)).toBeLessThanOrEqual(sharedMb(mb + 1))
  }
  expect([512, 513, 4096].map(sharedMb)).toEqual([512, 513, 4096])
  expect([320, 416, 511, 512].map(heapGrowthPercent)).toEqual([50, 100, 100, undefined])
})
