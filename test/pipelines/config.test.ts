import { expect, test } from 'vitest'
import { batchJob } from '../../pipelines/batch/job.ts'
import { readBatchConfig, splitPath } from '../../pipelines/config/load.ts'

const NATIVE = `
job: nightly
input: { path: /data/in }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output: { table: db.t, warehouse: /lake }
`

const ORIGINAL = `
repartition_no: 10
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

test('what is not given takes the documented default', () => {
  const read = readBatchConfig(NATIVE)
  expect(read.input).toMatchObject({ format: 'parquet', partitioning: 'hive', changed: 'fail' })
  expect(read.columns.get('vin')).toEqual({
    mode: 'deterministic',
    as: undefined,
    domain: 'default',
    key: undefined,
    normalize: [],
    null_values: [],
  })
  expect(read.limits).toEqual({
    max_identifiers: 900,
    max_request_bytes: 4 * 2 ** 20,
    max_concurrency: 64,
    memory_mb: 512,
    requests_per_second: undefined,
    threads: undefined,
  })
  expect(read.commit).toMatchObject({ max_files: 1000, max_bytes: 50 * 2 ** 30 })
  expect(read.output).toMatchObject({ create: 'table', format: 'iceberg', catalog: { type: 'filesystem' } })
  expect(read.gate).toEqual({ reidentify: false, full: false, max_match_ratio: 0.01 })
})

test('JSON is read as YAML is', () => {
  const json = JSON.stringify({
    job: 'nightly',
    input: { path: '/data/in' },
    columns: { vin: { mode: 'deterministic' } },
    service: { embedded: { keyring: 'keys.json' } },
    output: { table: 'db.t', warehouse: '/lake' },
  })
  expect(readBatchConfig(json)).toEqual(readBatchConfig(NATIVE))
  expect(readBatchConfig(JSON.stringify(JSON.parse(json), null, 2))).toEqual(readBatchConfig(NATIVE))
  // YAML's flow form begins as JSON does.
  expect(readBatchConfig(`{${NATIVE.trim().replaceAll('\n', ',\n')}}`)).toEqual(readBatchConfig(NATIVE))
})

test.each([
  '{"job": "a", "job": "b"}',
  '{"job": "a", "input": {"path": "x", "pa\\u0074h": "y"}}',
  '{"job": "a" "input": 1}',
  '{"job": "a"} {}',
  '[{"job": "a"}]',
])('JSON that says nothing, or one thing twice, is refused as YAML is: %s', (source) => {
  expect(() => readBatchConfig(source)).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})

test('text that looks like keys, in values of a JSON configuration, is text', () => {
  const tricky = '{"job": "n", "job": "m"} \\" :'
  const json = { ...JSON.parse(JSON.stringify({ input: { path: `/data/${tricky}` } })) }
  const read = readBatchConfig(
    JSON.stringify({
      ...json,
      job: 'nightly',
      columns: { [tricky]: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'keys.json' } },
      output: { table: 'db.t', warehouse: '/lake' },
    }),
  )
  expect(read.input.path).toBe(`/data/${tricky}`)
  expect([...read.columns.keys()]).toEqual([tricky])
})

test.each([
  [`${NATIVE}inptu: 1\n`, 'inptu', 'input'],
  [NATIVE.replace('path:', 'pth:'), 'input.pth', 'path'],
  [NATIVE.replace('mode:', 'mod:'), 'columns.vin.mod', 'mode'],
  [NATIVE.replace('keyring:', 'keyrings:'), 'service.embedded.keyrings', 'keyring'],
])('an unknown key is named, with the nearest known one', (source, key, near) => {
  expect(() => readBatchConfig(source)).toThrow(
    expect.objectContaining({ code: 'config/unknown-key', context: expect.objectContaining({ key, nearest: near }) }),
  )
})

test.each([
  [NATIVE.replace('job: nightly', 'job: a/b'), 'job'],
  [NATIVE.replace('job: nightly', 'job: ".."'), 'job'],
  [`${NATIVE}limits: { max_request_bytes: 63 }\n`, 'limits.max_request_bytes'],
  [NATIVE.replace('deterministic', 'determinstic'), 'columns.vin.mode'],
  [NATIVE.replace('{ mode: deterministic }', '{}'), 'columns.vin.mode'],
  [NATIVE.replace('db.t', 'db'), 'output.table'],
  [`${NATIVE}limits: { max_identifiers: 0 }\n`, 'limits.max_identifiers'],
  [`${NATIVE}limits: { max_request_bytes: 4XB }\n`, 'limits.max_request_bytes'],
  [NATIVE.replace('job: nightly', ''), 'job'],
  [NATIVE.replace('{ embedded: { keyring: keys.json } }', '{ url: x, api_key: { env: A, secret: B } }'), 'service.url'],
])('a value of the wrong form is refused by the name of its key', (source, key) => {
  expect(() => readBatchConfig(source)).toThrow(
    expect.objectContaining({ code: 'config/invalid', context: expect.objectContaining({ key }) }),
  )
})

test('an error names the key and the type, never the value', () => {
  const planted = 'PLANTED-SECRET'
  for (const source of [
    NATIVE.replace('job: nightly', `job: { x: ${planted} }`),
    NATIVE.replace('deterministic', planted),
    NATIVE.replace('{ embedded: { keyring: keys.json } }', `{ api_key: ${planted}, url: 'https://h/' }`),
    `job: "${planted}\n`,
  ])
    try {
      readBatchConfig(source)
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify([String(error), (error as { context: unknown }).context])).not.toContain(planted)
    }
})

test('--set wins over the environment, and both over the file', () => {
  const env = { PSEUDOLAKE_SET_LIMITS__MAX_CONCURRENCY: '2', PSEUDOLAKE_SET_JOB: 'from-env', OTHER: 'x' }
  const read = readBatchConfig(NATIVE, { env, set: ['job=from-set', 'columns.vin.normalize=[trim, upper]'] })
  expect(read.job).toBe('from-set')
  expect(read.limits.max_concurrency).toBe(2)
  expect(read.columns.get('vin')?.normalize).toEqual(['trim', 'upper'])
})

test('setting one of several alternatives takes the place of the other', () => {
  const source = NATIVE.replace(
    '{ embedded: { keyring: keys.json } }',
    '{ url: "https://h/x", api_key: { secret: s } }',
  )
  expect(readBatchConfig(source, { set: ['service.api_key.env=KEY'] }).service.api_key).toEqual({ env: 'KEY' })
  expect(readBatchConfig(source, { set: ['service.embedded.keyring=k'] }).service.url).toBeUndefined()
})

test('an embedded service that is set takes the place of a service and of what goes with it alone', () => {
  const { service } = readBatchConfig(ORIGINAL, { set: ['service.embedded.keyring=k'] })
  expect(service).toMatchObject({ embedded: { keyring: 'k' }, url: undefined, api_key: undefined })
})

test('keys of the original form can be set by their own names, and the native ones that come of them', () => {
  const env = { PSEUDOLAKE_SET_DETERMINISM: 'False', PSEUDOLAKE_SET_TABLE_NAME: 'other' }
  const read = readBatchConfig(ORIGINAL, {
    env,
    set: ['input_column=plate', 'columns.plate.domain=d', 'determinism=True'],
  })
  expect(read).toMatchObject({ job: 'blog_batch_db.other', output: { table: 'blog_batch_db.other' } })
  expect([...read.columns]).toMatchObject([['plate', { mode: 'deterministic', as: 's_plate', domain: 'd' }]])
  expect(readBatchConfig(GLUE, { set: ['db_name=d', 'table_name=t'] }).output.table).toBe('d.t')
  expect(() => readBatchConfig(NATIVE, { set: ['input_column=plate'] })).toThrow(
    expect.objectContaining({ code: 'config/unknown-key' }),
  )
})

test('a dot in the original form belongs to the column’s name', () => {
  const read = readBatchConfig(ORIGINAL.replace('input_column: vin', 'input_column: a.b'))
  expect([...read.columns.keys()]).toEqual(['`a.b`'])
})

test('a variable finds a column whatever the case of its name', () => {
  const env = { PSEUDOLAKE_SET_COLUMNS__VIN__DOMAIN: 'd' }
  expect([...readBatchConfig(GLUE, { env }).columns]).toMatchObject([['VIN', { mode: 'deterministic', domain: 'd' }]])
})

test('a key for a stream without a name in it makes no stream of a configuration', () => {
  for (const name of ['', ' ""', ' "  "', ' null'])
    expect(readBatchConfig(`${ORIGINAL}kinesis_stream_name:${name}\n`)).toEqual(readBatchConfig(ORIGINAL))
  expect(() => readBatchConfig(`${ORIGINAL}kinesis_stream_name: cars\n`)).toThrow('got a stream’s')
})

test('the region of a stream holds where there is no other', () => {
  const region = 'kinesis_region: eu-north-1\n'
  expect(readBatchConfig(`${ORIGINAL}${region}`).aws?.region).toBe('eu-west-1')
  expect(readBatchConfig(`${ORIGINAL.replace('aws_region: eu-west-1\n', '')}${region}`).aws?.region).toBe('eu-north-1')
})

test('plain Parquet files may be named as a table is', () => {
  const set = ['output={ format: parquet, table: d.t, warehouse: /w/ }']
  expect(batchJob(readBatchConfig(NATIVE, { set }), '/')).toMatchObject({
    plain: '/w/d/t',
    state: '/w/d/t/_pseudolake',
  })
})

test('an original configuration means what it meant to the system it was written for', () => {
  const read = readBatchConfig(ORIGINAL)
  expect(read.job).toBe('blog_batch_db.pseudo_table')
  expect(read.input.path).toBe('s3://raw/vehicles/')
  expect([...read.columns]).toEqual([['vin', expect.objectContaining({ mode: 'deterministic', as: 's_vin' })]])
  expect(read.service).toMatchObject({
    url: 'https://abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization',
    api_key: { secret: 'api-secret' },
  })
  expect(read.output).toMatchObject({
    table: 'blog_batch_db.pseudo_table',
    warehouse: 's3://lake/batch/warehouse',
    create: 'database',
    catalog: { type: 'glue' },
  })
  expect(read.aws).toMatchObject({ region: 'eu-west-1' })
})

test.each([
  ['True', 'deterministic'],
  ['true', 'deterministic'],
  ['"False"', 'random'],
  ['" false "', 'random'],
])('determinism %s is %s', (given, mode) => {
  const read = readBatchConfig(ORIGINAL.replace("'True '", given))
  expect(read.columns.get('vin')?.mode).toBe(mode)
})

test('an original configuration with an unknown key names the nearest', () => {
  expect(() => readBatchConfig(ORIGINAL.replace('input_column', 'input_colum'))).toThrow(
    expect.objectContaining({
      code: 'config/unknown-key',
      context: expect.objectContaining({ nearest: 'input_column' }),
    }),
  )
})

test('backticks keep dots in a name together', () => {
  expect(splitPath('a.`b.c`.d')).toEqual(['a', '`b.c`', 'd'])
  expect(() => splitPath('a..b')).toThrow(expect.objectContaining({ code: 'config/invalid' }))
  expect(() => splitPath('a.`b')).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})

test('aliases that name nothing or unfold without end are an error of the file, not of the program', () => {
  const letters = ['a', 'b', 'c', 'd', 'e']
  const bomb = letters
    .map(
      (name, i) =>
        `${name}: &${name} [${Array(9)
          .fill(i === 0 ? '1' : `*${letters[i - 1]}`)
          .join(', ')}]`,
    )
    .join('\n')
  for (const source of [bomb, 'a: *nothing'])
    expect(() => readBatchConfig(source)).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})

test('an override cannot reach beyond the configuration', () => {
  expect(() => readBatchConfig(NATIVE, { set: ['__proto__.job=x'] })).toThrow(
    expect.objectContaining({ code: 'config/unknown-key' }),
  )
  expect(({} as { job?: string }).job).toBeUndefined()
})

const GLUE = `repartition_no: '4'
aws_region: eu-west-1
endpoint_url: abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization
secret_name: blog/api-key
determinism: True
input_loc: raw/in/
output_loc: s3://lake/pseudonymized cars/
input_column: VIN
`

test('the Glue form means CSV or Parquet in, plain Parquet out', () => {
  const settings = readBatchConfig(GLUE)
  expect(settings).toMatchObject({
    job: 'pseudonymized_cars',
    input: { path: 's3://raw/in/', format: 'auto', partitioning: 'none' },
    service: { url: 'https://abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization' },
    output: { format: 'parquet', path: 's3://lake/pseudonymized cars/', files: 4, table: undefined },
    limits: { threads: 4 },
  })
  expect([...settings.columns]).toMatchObject([['VIN', { mode: 'deterministic', as: 's_VIN' }]])
  expect(batchJob(settings, '/')).toMatchObject({
    plain: 's3://lake/pseudonymized cars',
    state: 's3://lake/pseudonymized cars/_pseudolake',
    eitherFormat: true,
  })
})

test('the Glue form with a table means Iceberg', () => {
  expect(readBatchConfig(`${GLUE}db_name: d\ntable_name: t\n`)).toMatchObject({
    job: 'd.t',
    output: {
      format: 'iceberg',
      table: 'd.t',
      warehouse: 's3://lake/pseudonymized cars/batch/warehouse',
      catalog: { type: 'glue' },
    },
  })
})

test.each([
  ['input_s3_path: s3://b/x', 'input_s3_path'],
  ['repartition_no: many', 'repartition_no'],
])('the Glue form: %s is refused', (line, key) => {
  const source = `${GLUE.replace(/^repartition_no.*\n/, '')}${line}\n`
  expect(() => readBatchConfig(source)).toThrow(
    expect.objectContaining({ code: 'config/invalid', context: expect.objectContaining({ key }) }),
  )
})

test.each([
  [{ output: { format: 'parquet' } }, 'output.path'],
  [{ output: { format: 'parquet', path: 'out', warehouse: 'w' } }, 'output.warehouse'],
  [{ output: { format: 'parquet', path: 'out', catalog: { type: 'glue' } } }, 'output.catalog.type'],
  [{ output: { table: 'd.t', warehouse: 'w', path: 'out' } }, 'output.path'],
  [{ output: { warehouse: 'w' } }, 'output.table'],
])('an output that is neither table nor folder is refused: %j', (output, key) => {
  const source = {
    job: 'j',
    input: { path: 'in' },
    columns: { a: { mode: 'drop' } },
    service: { url: 'http://x' },
    ...output,
  }
  const settings = readBatchConfig(JSON.stringify(source))
  expect(() => batchJob(settings, '/')).toThrow(expect.objectContaining({ context: expect.objectContaining({ key }) }))
})

test.each([['input.csv.delimiter=;'], ['input.format={ csv: { delimiter: ";" } }']])('%s means CSV', (set) => {
  expect(readBatchConfig(NATIVE, { set: [set] }).input).toMatchObject({ format: 'csv', csv: { delimiter: ';' } })
})

test('the settings of CSV may stand in its format', () => {
  const source = (input: object) =>
    JSON.stringify({
      job: 'j',
      columns: { a: { mode: 'drop' } },
      service: { url: 'http://x' },
      output: { table: 'd.t', warehouse: 'w' },
      input,
    })
  for (const input of [
    { path: 'in', format: 'csv', csv: { delimiter: ';' } },
    { path: 'in', csv: { delimiter: ';' } },
    { path: 'in', format: { csv: { delimiter: ';' } } },
  ])
    expect(batchJob(readBatchConfig(source(input)), '/').csv).toMatchObject({
      delimiter: ';',
      quote: '"',
      header: true,
    })
  expect(
    batchJob(
      readBatchConfig(source({ path: 'in', csv: { delimiter: '\\t', encoding: 'ISO-8859-1', header: ['x', 'y'] } })),
      '/',
    ).csv,
  ).toEqual({
    delimiter: '\t',
    quote: '"',
    encoding: 'latin1',
    header: ['x', 'y'],
  })
})

test('a bucket of a name that none can have is told what names are', () => {
  const source = `${GLUE.replace(/^input_loc.*\n/m, '')}input_loc: s3://in/x/\n`
  expect(() => batchJob(readBatchConfig(source), '/')).toThrow(
    expect.objectContaining({ code: 'config/invalid', message: expect.stringContaining('3 to 255') }),
  )
})
