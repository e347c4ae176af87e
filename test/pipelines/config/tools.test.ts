import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import { checkConfig } from '../../../pipelines/config/check.ts'
import { convertConfig } from '../../../pipelines/config/convert.ts'
import { explainConfig } from '../../../pipelines/config/explain.ts'
import { readBatchConfig } from '../../../pipelines/config/load.ts'
import { BATCH } from '../../../pipelines/config/native.ts'
import { batchSchema } from '../../../pipelines/config/schema.ts'
import { pseudolake } from '../../helpers/cli.ts'

const NATIVE = `job: nightly
input:
  path: /data/in
columns:
  vin: { mode: deterministic, null_values: [PLANTED] }
service: { url: "https://host/pseudonymization", api_key: { env: KEY } }
output: { table: db.t, warehouse: /lake }
limits:
  max_concurrency: 3
`

const ORIGINAL = `repartition_no: 10
aws_region: eu-west-1
endpoint_url: abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization
secret_name: api-secret
determinism: 'True '
input_s3_path: s3://raw/vehicles/
output_bucket_name: lake/
input_column: vin
db_name: blog_batch_db
table_name: pseudo_table
`

/** The example that docs/configuration.md begins with. */
const DOCUMENTED = /```yaml\n([\s\S]*?)```/.exec(readFileSync('docs/configuration.md', 'utf8'))?.[1] ?? ''

const valid = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, validateFormats: false }).compile(
  batchSchema(),
)

test('the schema is valid JSON Schema, and takes the documented example and every other good one', () => {
  for (const source of [DOCUMENTED, NATIVE, convertConfig(ORIGINAL).yaml]) {
    const tree: unknown = parse(source)
    expect(valid(tree), JSON.stringify(valid.errors)).toBe(true)
  }
})

test('the schema takes both ways to say how a CSV is written, as the reader does', () => {
  const tree = parse(NATIVE) as { input: object }
  const withInput = (more: object) => ({ ...tree, input: { path: 'in', ...more } })
  const csv = { delimiter: ';', header: ['vin'], encoding: 'latin1' }
  for (const [more, good] of [
    [{ format: { csv } }, true],
    [{ format: { csv: {} } }, true],
    [{ format: 'csv', csv }, true],
    [{ csv }, true],
    [{ format: { csv }, csv }, false],
    [{ format: { parquet: {} } }, false],
    [{ format: { csv: { delimter: ';' } } }, false],
    [{ format: {} }, false],
  ] as const) {
    expect([more, valid(withInput(more))]).toEqual([more, good])
    const read = () => readBatchConfig(JSON.stringify(withInput(more)))
    if (good) expect(read().input.format).toBe('csv')
    else expect(read).toThrow()
  }
})

const BAD: [key: string, value: unknown][] = [
  ['job', undefined],
  ['job', 'two words'],
  ['job', '..'],
  ['jobs', 'x'],
  ['input', 'in'],
  ['input.path', ''],
  ['input.path', ['a']],
  ['input.format', 'orc'],
  ['columns', undefined],
  ['columns', ['vin']],
  ['columns.vin.mode', undefined],
  ['columns.vin.mode', 'sometimes'],
  ['columns.vin.normalize', 'trim'],
  ['columns.vin.normalize', ['trimm']],
  ['columns.vin.key', 'abcde'],
  ['columns.vin.domain', 'Big'],
  ['service.url', 'ftp://host'],
  ['service.api_key', { env: 'A', secret: 'B' }],
  ['service.api_key', {}],
  ['service.api_key', 'PLANTED'],
  ['service.embedded', {}],
  ['output.table', 'db'],
  ['output.catalog', { type: 'hive' }],
  ['output.create', 'maybe'],
  ['commit.max_files', 0],
  ['commit.max_files', 1.5],
  ['commit.max_bytes', '12 parsecs'],
  ['commit.max_bytes', '0MB'],
  ['limits.max_request_bytes', 10],
  ['limits.max_request_bytes', '10B'],
  ['limits.max_concurrency', 1e9],
  ['limits.memory_mb', 'much'],
  ['gate.max_match_ratio', 1.5],
  ['gate.full', 'perhaps'],
  ['unlisted_columns', 'keep'],
]

function changed(key: string, value: unknown): Record<string, unknown> {
  const tree = parse(NATIVE) as Record<string, unknown>
  const words = key.split('.')
  let node = tree
  for (const word of words.slice(0, -1)) {
    node[word] ??= {}
    node = node[word] as Record<string, unknown>
  }
  if (value === undefined) delete node[words.at(-1) as string]
  else node[words.at(-1) as string] = value
  return tree
}

test.each(BAD)('%s = %j is refused by schema and reader alike', (key, value) => {
  const tree = changed(key, value)
  expect(valid(tree)).toBe(false)
  expect(() => BATCH.read(tree, '')).toThrow()
  expect(BATCH.problems(tree, '').length).toBeGreaterThan(0)
})

test('what the schema takes, the reader takes; the reader’s first problem is the first of all problems', () => {
  const keys = ['job', 'input.path', 'columns.vin.mode', 'columns.vin.normalize', 'service.api_key', 'output.table']
  const more = ['commit.max_bytes', 'commit.every', 'limits.memory_mb', 'gate', 'gate.full', 'output.catalog', 'aws']
  const words = [
    'copy',
    'deterministic',
    '12',
    '12MB',
    '7s',
    'a.b',
    '',
    ' x ',
    'true',
    '/p',
    'filesystem',
    '1.5kb',
    '0s',
  ]
  const value = fc.oneof(
    fc.constantFrom<unknown>(...words),
    fc.anything({
      maxDepth: 1,
      values: [fc.constantFrom<unknown>(...words), fc.integer(), fc.boolean(), fc.constant(null)],
    }),
  )
  let taken = 0
  fc.assert(
    fc.property(fc.constantFrom(...keys, ...more), value, (key, given) => {
      const tree = changed(key, given)
      const problems = BATCH.problems(tree, '')
      if (valid(tree)) {
        expect(problems).toEqual([])
        taken++
      }
      let first: unknown
      try {
        BATCH.read(tree, '')
      } catch (error) {
        first = error
      }
      expect(problems.length === 0).toBe(first === undefined)
      if (isPseudolakeError(first)) expect(problems.map(({ message }) => message)).toContain(first.message)
    }),
    { numRuns: 1000 },
  )
  expect(taken).toBeGreaterThan(50)
})

test('check says all problems at once, and what this version cannot do', () => {
  const codes = (source: string, set: readonly string[] = []) =>
    checkConfig(source, { set }, '/work').problems.map(({ code, context }) => [code, context.key])
  expect(codes(NATIVE)).toEqual([])
  expect(codes(NATIVE, ['nope=1', 'gate.full=7', 'columns.x.mode=z'])).toEqual([
    ['config/unknown-key', 'nope'],
    ['config/invalid', 'columns.x.mode'],
    ['config/invalid', 'gate.full'],
  ])
  expect(codes(ORIGINAL)).toEqual([])
  expect(codes(ORIGINAL, ['input.path=s3:///x', 'output.state=s3:///y', 'output.catalog.uri=https://x'])).toEqual([
    ['config/invalid', 'output.catalog.uri'],
    ['config/invalid', 'input.path'],
    ['config/invalid', 'output.state'],
  ])
  expect(codes('job: [')).toEqual([['config/invalid', undefined]])
  expect(codes(NATIVE, ['service.lambda=arn'])).toEqual([['config/invalid', 'service.lambda']])
  expect(codes(NATIVE, ['output.warehouse=/data/in/out'])).toEqual([['config/overlap', undefined]])
})

test.each([
  [['output.catalog.type=glue', 'output.catalog.auth=sigv4'], 'output.catalog.auth'],
  [['output.catalog.catalog_id=123456789012'], 'output.catalog.catalog_id'],
  [['output.catalog.type=rest'], 'output.catalog.uri'],
  [['output.catalog={type: rest, uri: "https://c"}', 'output.warehouse=null'], 'output.state'],
  [['output.catalog={type: rest, uri: "https://c", access: vended}'], 'output.state'],
  [['output.catalog={type: rest, uri: "https://c", auth: oauth2}'], 'output.catalog.auth'],
  [['output.catalog={type: rest, uri: "https://c", token: {env: T}}'], 'output.catalog.token'],
  [['output.catalog={type: rest, uri: "https://c", signing_name: glue}'], 'output.catalog.signing_name'],
  [['output.warehouse=null'], 'output.warehouse'],
  [['output.table=a.b.c'], 'output.table'],
  [['service.url=https://host/Dev'], 'service.url'],
  [['service.url=https://host/reidentification'], 'service.url'],
  [['service.url=http://host/pseudonymization'], 'service.url'],
  [['service.url=https://me:PLANTED@host/pseudonymization'], 'service.url'],
  [['service={ embedded: { keyring: k }, auth: iam }'], 'service.auth'],
  [['service.embedded.keyring=k', 'service.api_key.env=KEY'], 'service.api_key'],
])('settings that do not go together are refused with the key at fault: %s', (set, key) => {
  const { problems } = checkConfig(NATIVE, { set, env: { KEY: 'x' } }, '/work')
  expect(problems.map(({ code, context }) => [code, context.key])).toEqual([['config/invalid', key]])
})

test.each([
  [['output.catalog={type: rest, uri: "https://c", warehouse: w}']],
  [
    [
      'output.catalog={type: rest, uri: "https://c"}',
      'output.warehouse=null',
      'output.state=s3://lake/state',
      'output.table=a.b.c',
    ],
  ],
  [
    [
      'output.catalog={type: rest, uri: "https://c", auth: oauth2, credential: {secret: s}, scope: x, oauth2_uri: "https://o"}',
    ],
  ],
  [['output.catalog={type: rest, uri: "https://c", auth: sigv4, signing_name: s3tables}']],
  [
    [
      'output.catalog={type: glue, catalog_id: "123456789012"}',
      'output.warehouse=s3://lake/w',
      'output.create=database',
    ],
  ],
  [['service.embedded={keyring: {secret: my/keys}}', 'service.api_key=null']],
  [['service.lambda=arn:aws:lambda:eu-west-1:123456789012:function:f:live']],
  [
    [
      'service.auth=iam',
      'service.aws={region: eu-west-1, role_arn: "arn:aws:iam::123456789012:role/r", external_id: xx, session_name: s1}',
    ],
  ],
  [
    [
      'input.path=s3a://raw/in',
      'input.requester_pays=true',
      'output.encryption={type: "aws:kms", kms_key_id: k, bucket_key: true}',
    ],
  ],
])('settings of AWS and of catalogs are taken: %s', (set) => {
  expect(checkConfig(NATIVE, { set, env: { KEY: 'x' } }, '/work').problems).toEqual([])
})

test('check notes what has no effect, and variables that are not set where it runs', () => {
  const notes = (env: Record<string, string>) =>
    checkConfig(NATIVE, { set: ['aws.region=eu-west-1', 'commit.every=60s'], env }, '/work').notes
  expect(notes({ KEY: 'PLANTED' })).toEqual([
    expect.stringContaining('commit.every has no effect'),
    expect.stringContaining('aws has no effect'),
  ])
  expect(notes({})[0]).toContain('KEY')
})

test('explain says where each value comes from, and shows no secret', () => {
  const env = { PSEUDOLAKE_SET_LIMITS__MEMORY_MB: '256', KEY: 'PLANTED' }
  const source = NATIVE.replace('host/pseudonymization', 'me:PLANTED@host/pseudonymization?key=PLANTED')
  const rows = explainConfig(source, { env, set: ['job=other', 'columns.plate={mode: drop}'] })
  const of = (key: string) => rows.find((row) => row.key === key)
  expect(of('job')).toEqual({ key: 'job', value: 'other', origin: 'set', from: '--set job' })
  expect(of('input.path')).toEqual({ key: 'input.path', value: '/data/in', origin: 'file', line: 3 })
  expect(of('input.format')).toEqual({ key: 'input.format', value: 'parquet', origin: 'default' })
  expect(of('limits.max_concurrency')).toMatchObject({ value: 3, origin: 'file', line: 9 })
  expect(of('limits.memory_mb')).toMatchObject({ value: 256, origin: 'env', from: 'PSEUDOLAKE_SET_LIMITS__MEMORY_MB' })
  expect(of('columns.plate.mode')).toMatchObject({ value: 'drop', origin: 'set', from: '--set columns.plate' })
  expect(of('columns.plate.domain')).toMatchObject({ value: 'default', origin: 'default' })
  expect(of('service.api_key.env')).toMatchObject({ value: 'KEY', origin: 'file', line: 6, is_set: true })
  expect(of('service.url')?.value).toBe('https://…@host/pseudonymization?…')
  expect(JSON.stringify(rows)).not.toContain('PLANTED')
})

test('explain names the original key and its line', () => {
  const rows = explainConfig(ORIGINAL)
  const of = (key: string) => rows.find((row) => row.key === key)
  expect(of('columns.vin.mode')).toMatchObject({ origin: 'file', line: 5, from: 'determinism' })
  expect(of('output.catalog.type')).toEqual({ key: 'output.catalog.type', value: 'glue', origin: 'form' })
  const set = explainConfig(ORIGINAL, { set: ['determinism=False'], env: { PSEUDOLAKE_SET_REPARTITION_NO: '7' } })
  const { key, value, origin, from } = set.find((row) => row.key === 'columns.vin.mode') ?? {}
  expect({ key, value, origin, from }).toEqual({
    key: 'columns.vin.mode',
    value: 'random',
    origin: 'set',
    from: '--set determinism',
  })
  expect(set.find((row) => row.key === 'limits.threads')).toMatchObject({ value: 7, origin: 'env' })
})

test.each([
  ['as it is', ORIGINAL],
  ['random', ORIGINAL.replace("'True '", 'False')],
  ['without region', ORIGINAL.replace('aws_region: eu-west-1\n', '')],
  ['a column with dots and quotes', ORIGINAL.replace('input_column: vin', `input_column: 'a.b "c" # d'`)],
  ['local paths', ORIGINAL.replace('s3://raw/vehicles/', '/raw').replace('lake/', '/lake')],
])('a converted configuration means what the original meant: %s', (_, source) => {
  const { yaml, native } = convertConfig(source)
  expect(readBatchConfig(yaml)).toEqual(readBatchConfig(source))
  expect(readBatchConfig(JSON.stringify(native))).toEqual(readBatchConfig(source))
  expect(yaml).toContain('# was endpoint_url')
})

test('what cannot be converted honestly is refused: native, plain Parquet output', () => {
  const invalid = expect.objectContaining({ code: 'config/invalid' })
  expect(() => convertConfig(NATIVE)).toThrow(invalid)
  expect(() => convertConfig('input_loc: s3://a\noutput_loc: s3://b\ninput_column: VIN\n')).toThrow(invalid)
  expect(() => convertConfig(ORIGINAL.replace('db_name', 'db_nam'))).toThrow(
    expect.objectContaining({ code: 'config/unknown-key' }),
  )
})

test('the commands keep to status and form: one document under --json, prose and hints else', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-config-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const [native, original] = [join(dir, 'native.yaml'), join(dir, 'original.yaml')]
  writeFileSync(native, NATIVE)
  writeFileSync(original, ORIGINAL)
  const json = async (...args: string[]) => {
    const { code, stdout } = await pseudolake(['config', ...args, '--json'], { env: { KEY: 'PLANTED' } })
    expect(stdout).not.toContain('PLANTED')
    return [code, JSON.parse(stdout)]
  }
  expect(await json('check', native)).toEqual([
    0,
    { status: 'valid', config: native, form: 'native', job: 'nightly', problems: [], notes: [] },
  ])
  const [code, failed] = await json('check', original, '--set', 'input.path=s3:///x', '--set', 'output.state=s3:///y')
  expect([code, failed]).toMatchObject([
    2,
    { status: 'failed', error: { code: 'config/invalid', retryable: false, outcome: 'nothing-published' } },
  ])
  expect(failed.error.problems).toHaveLength(2)
  expect((await json('check', original))[1]).toMatchObject({ status: 'valid', form: 'original' })
  expect((await pseudolake(['config', 'check', native])).stdout).toContain('is valid: job nightly, native form')
  expect(await json('explain', native)).toMatchObject([0, { config: native, settings: expect.any(Array) }])
  const { stdout } = await pseudolake(['config', 'explain', native])
  expect(stdout).toMatch(/^commit\.max_bytes +53687091200 \(50\.0 GB\) +default$/m)
  expect(await json('schema')).toEqual([0, JSON.parse(JSON.stringify(batchSchema()))])
  expect(await json('schema', native)).toEqual(await json('schema'))
  const stream = join(dir, 'stream.yaml')
  writeFileSync(stream, 'job: s\ninput: { stream: name }\n')
  expect(await json('schema', stream)).toEqual(await json('schema', '--stream'))
  const converted = await pseudolake(['config', 'convert', original])
  expect(readBatchConfig(converted.stdout)).toEqual(readBatchConfig(ORIGINAL))
  expect(converted.stderr).not.toContain('cannot run it')
  expect(await json('convert', original)).toMatchObject([0, { native: { job: 'blog_batch_db.pseudo_table' } }])
  expect(await json('check', join(dir, 'none.yaml'))).toMatchObject([2, { error: { code: 'config/invalid' } }])
  expect(await json('convert', native)).toMatchObject([2, { error: { code: 'config/invalid' } }])
}, 60_000)
