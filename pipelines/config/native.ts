/** The native configuration, as docs/configuration.md documents it: the description that files, `--set` and the environment are read by. */
import { CSV_ENCODING_NAMES } from '../../lib/csv/dialect.ts'
import {
  boolean,
  duration,
  either,
  exactlyOne,
  integer,
  list,
  mapOf,
  object,
  oneOf,
  optional,
  type Read,
  ratio,
  size,
  text,
  verbatim,
  withDefault,
} from './spec.ts'

const LAMBDA_ARN = /^arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,140}(?::[$A-Za-z0-9_-]{1,129})?$/
export const DOMAIN_PATTERN = /^[a-z0-9_-]{1,64}$/
const MB = 2 ** 20
const GB = 2 ** 30

const secretName = text('the name or ARN of a secret')
const apiKey = exactlyOne({ env: text('the name of an environment variable'), secret: secretName })

const endpoint = () => optional(text('an http or https URL', /^https?:\/\/./i))

const aws = optional(
  object({
    region: optional(text('a region such as eu-west-1', /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)),
    role_arn: optional(text('the ARN of a role', /^arn:[a-z0-9-]+:iam::\d{12}:role\/\S+$/)),
    external_id: optional(text('the external id of the role’s trust policy', /^\S{2,1224}$/)),
    session_name: optional(text('2 to 64 of A-Z, a-z, 0-9 and _+=,.@-', /^[\w+=,.@-]{2,64}$/)),
    endpoints: optional(
      object({
        s3: endpoint(),
        glue: endpoint(),
        secretsmanager: endpoint(),
        kinesis: endpoint(),
        sts: endpoint(),
        lambda: endpoint(),
      }),
    ),
  }),
)

const CSV_ENCODING_PATTERN = new RegExp(`^(?:${Object.keys(CSV_ENCODING_NAMES).join('|')})$`, 'i')

const column = object({
  mode: oneOf('deterministic', 'random', 'drop'),
  as: optional(text('a column name')),
  domain: withDefault(text('a domain: 1 to 64 of a-z, 0-9, _ and -', DOMAIN_PATTERN), 'default'),
  key: optional(text('a key id: 4 of a-z and 0-9', /^[a-z0-9]{4}$/)),
  normalize: withDefault(list(oneOf('trim', 'upper', 'lower', 'nfc')), []),
  null_values: withDefault(list(verbatim()), []),
})

const CATALOG_DEFAULTS = {
  type: 'filesystem',
  catalog_id: undefined,
  uri: undefined,
  warehouse: undefined,
  auth: undefined,
  credential: undefined,
  token: undefined,
  oauth2_uri: undefined,
  scope: undefined,
  access: 'own',
  signing_name: undefined,
  allow_http: false,
} as const

const catalog = object({
  type: withDefault(oneOf('filesystem', 'glue', 'rest', 'memory'), CATALOG_DEFAULTS.type),
  catalog_id: optional(text('the account whose catalog it is, or account:catalog', /^\S{1,255}$/)),
  uri: optional(text('an http or https URL', /^https?:\/\/./i)),
  warehouse: optional(text()),
  auth: optional(oneOf('none', 'oauth2', 'sigv4')),
  credential: optional(exactlyOne({ env: text('the name of an environment variable'), secret: secretName })),
  token: optional(exactlyOne({ env: text('the name of an environment variable'), secret: secretName })),
  oauth2_uri: optional(text('an http or https URL', /^https?:\/\/./i)),
  scope: optional(text()),
  access: withDefault(oneOf('own', 'vended'), CATALOG_DEFAULTS.access),
  signing_name: optional(text('glue, s3tables or another signing name', /^[a-z0-9-]{1,64}$/)),
  allow_http: withDefault(boolean(), CATALOG_DEFAULTS.allow_http),
})

const csv = optional(
  object({
    header: optional(either(boolean(), list(verbatim()))),
    delimiter: optional(verbatim()),
    quote: optional(verbatim()),
    encoding: optional(
      text(`one of ${[...new Set(Object.values(CSV_ENCODING_NAMES))].join(', ')}`, CSV_ENCODING_PATTERN),
    ),
  }),
)

export const BATCH = object({
  job: text('1 to 128 of A-Z, a-z, 0-9, ., _ and -', /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/),
  input: object({
    path: text('a file, a folder or a glob'),
    format: withDefault(oneOf('parquet', 'csv', 'auto'), 'parquet'),
    csv,
    partitioning: withDefault(oneOf('hive', 'none'), 'hive'),
    changed: withDefault(oneOf('fail', 'append', 'replace'), 'fail'),
    requester_pays: withDefault(boolean(), false),
    aws,
  }),
  columns: mapOf('column names', /./, column),
  unlisted_columns: withDefault(oneOf('copy', 'drop', 'fail'), 'copy'),
  schema_changes: withDefault(oneOf('fail', 'add', 'drop'), 'fail'),
  service: object({
    url: optional(text('an http or https URL', /^https?:\/\/./i)),
    api_key: optional(apiKey),
    auth: optional(oneOf('iam')),
    lambda: optional(text('the ARN of a function', LAMBDA_ARN)),
    embedded: optional(
      object({
        keyring: either(text('the path of a keyring'), object({ secret: secretName })),
        kernel: optional(oneOf('wasm', 'noble')),
      }),
    ),
    allow_http: withDefault(boolean(), false),
    aws,
  }),
  output: object({
    table: optional(text('db.table', /^[^.\s/]+(?:\.[^.\s/]+)+$/)),
    path: optional(text('a folder or s3:// location')),
    files: optional(integer()),
    warehouse: optional(text('a folder or s3:// location')),
    catalog: withDefault(catalog, CATALOG_DEFAULTS),
    create: withDefault(oneOf('never', 'table', 'database'), 'table'),
    state: optional(text('a folder or s3:// location')),
    format: withDefault(oneOf('iceberg', 'parquet'), 'iceberg'),
    encryption: optional(
      object({
        type: oneOf('AES256', 'aws:kms', 'aws:kms:dsse'),
        kms_key_id: optional(text('the ID, ARN or alias of a key')),
        bucket_key: optional(boolean()),
      }),
    ),
    aws,
  }),
  commit: withDefault(
    object({
      max_files: withDefault(integer(), 1000),
      max_bytes: withDefault(size(), 50 * GB),
      every: optional(duration()),
      max_rows: optional(integer()),
    }),
    { max_files: 1000, max_bytes: 50 * GB, every: undefined, max_rows: undefined },
  ),
  aws,
  limits: withDefault(
    object({
      max_identifiers: withDefault(integer(1, 1_000_000), 900),
      max_request_bytes: withDefault(size(64), 4 * MB),
      max_concurrency: withDefault(integer(1, 10_000), 64),
      memory_mb: withDefault(integer(64), 512),
      requests_per_second: optional(integer()),
      threads: optional(integer(1, 1024)),
    }),
    {
      max_identifiers: 900,
      max_request_bytes: 4 * MB,
      max_concurrency: 64,
      memory_mb: 512,
      requests_per_second: undefined,
      threads: undefined,
    },
  ),
  gate: withDefault(
    object({
      reidentify: withDefault(boolean(), false),
      full: withDefault(boolean(), false),
      max_match_ratio: withDefault(ratio(), 0.01),
    }),
    { reidentify: false, full: false, max_match_ratio: 0.01 },
  ),
})

export type BatchSettings = Read<typeof BATCH>
export type ColumnSettings = BatchSettings['columns'] extends ReadonlyMap<string, infer C> ? C : never
