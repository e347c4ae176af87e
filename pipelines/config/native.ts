/** The native configuration, as docs/configuration.md documents it: the description that files, `--set` and the environment are read by. */
import { CSV_ENCODING_NAMES } from '../../lib/csv/dialect.ts'
import { PURPOSE_PATTERN } from '../../lib/wire/contract.ts'
import {
  anyCase,
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
/** Iceberg's own advice is a commit a minute at most. */
const COMMIT_EVERY_MS = 60_000
const STREAM_ROWS = 10_000_000
const UPKEEP_EVERY_MS = 3_600_000
const REGION = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const STREAM_NAME = /^(?:arn:[a-z0-9-]+:kinesis:[a-z0-9-]+:\d{12}:stream\/)?[A-Za-z0-9_.-]{1,128}$/
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/

const secretName = text('the name or ARN of a secret')
const apiKey = exactlyOne({ env: text('the name of an environment variable'), secret: secretName })

const endpoint = () => optional(text('an http or https URL', /^https?:\/\/./i))

const aws = optional(
  object({
    region: optional(text('a region such as eu-west-1', REGION)),
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
        kms: endpoint(),
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

/** What runs of both kinds have in common. */
const job = text('1 to 128 of A-Z, a-z, 0-9, ., _ and -', /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/)
const columns = mapOf('column names', /./, column)
const unlistedColumns = withDefault(oneOf('copy', 'drop', 'fail'), 'copy')

const service = object({
  url: optional(text('an http or https URL', /^https?:\/\/./i)),
  api_key: optional(apiKey),
  auth: optional(oneOf('iam')),
  lambda: optional(text('the ARN of a function', LAMBDA_ARN)),
  purpose: optional(text('a name of a-z, 0-9, ., _ and -', PURPOSE_PATTERN)),
  embedded: optional(
    object({
      keyring: either(text('the path of a keyring'), object({ secret: secretName })),
      kernel: optional(oneOf('wasm', 'noble')),
    }),
  ),
  allow_http: withDefault(boolean(), false),
  aws,
})

const output = object({
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
})

const limits = withDefault(
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
)

const gate = withDefault(
  object({
    reidentify: withDefault(boolean(), false),
    full: withDefault(boolean(), false),
    max_match_ratio: withDefault(ratio(), 0.01),
  }),
  { reidentify: false, full: false, max_match_ratio: 0.01 },
)

export const BATCH = object({
  job,
  input: object({
    path: text('a file, a folder or a glob'),
    format: withDefault(oneOf('parquet', 'csv', 'auto'), 'parquet'),
    csv,
    partitioning: withDefault(oneOf('hive', 'none'), 'hive'),
    changed: withDefault(oneOf('fail', 'append', 'replace'), 'fail'),
    requester_pays: withDefault(boolean(), false),
    aws,
  }),
  columns,
  unlisted_columns: unlistedColumns,
  schema_changes: withDefault(oneOf('fail', 'add', 'drop'), 'fail'),
  service,
  output,
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
  limits,
  gate,
})

export type BatchSettings = Read<typeof BATCH>
export type ColumnSettings = BatchSettings['columns'] extends ReadonlyMap<string, infer C> ? C : never

/** Of a stream, whose rows come from Kinesis: docs/stream.md. */
export const STREAM = object({
  job,
  input: object({
    stream: text('the name or the ARN of a stream', STREAM_NAME),
    region: optional(text('a region such as eu-west-1', REGION)),
    endpoint_url: endpoint(),
    start: withDefault(
      either(anyCase('trim_horizon', 'latest'), object({ at: text('a time such as 2026-01-31T00:00:00Z', MOMENT) })),
      'trim_horizon',
    ),
    aws,
  }),
  columns,
  unlisted_columns: unlistedColumns,
  schema: optional(mapOf('field names', /./, text('a type such as string, long or list<string>'))),
  new_fields: withDefault(oneOf('ignore', 'fail', 'add'), 'ignore'),
  record_columns: withDefault(
    object({
      arrival_time: optional(text('a column name')),
      shard: optional(text('a column name')),
      sequence_number: optional(text('a column name')),
    }),
    { arrival_time: undefined, shard: undefined, sequence_number: undefined },
  ),
  quarantine: optional(
    object({
      path: text('a folder or s3:// location'),
      recipient: optional(text('an X25519 public key: 32 bytes in base64', /^[A-Za-z0-9+/]{43}=$/)),
      kms_key_id: optional(text('the ID, ARN or alias of a key')),
      max_records: optional(integer()),
    }),
  ),
  dedupe: optional(object({ keys: list(text('a field')), window: withDefault(duration(), 3_600_000) })),
  service,
  output,
  commit: withDefault(
    object({
      every: withDefault(duration(), COMMIT_EVERY_MS),
      max_rows: withDefault(integer(), STREAM_ROWS),
      max_bytes: withDefault(size(), GB),
    }),
    { every: COMMIT_EVERY_MS, max_rows: STREAM_ROWS, max_bytes: GB },
  ),
  upkeep: withDefault(
    object({
      every: withDefault(duration(), UPKEEP_EVERY_MS),
      min_files: withDefault(integer(2), 30),
      compact: withDefault(boolean(), true),
      expire: withDefault(boolean(), true),
    }),
    { every: UPKEEP_EVERY_MS, min_files: 30, compact: true, expire: true },
  ),
  heartbeat: withDefault(
    object({ every: withDefault(duration(), 5000), takeover_after: withDefault(duration(), 20_000) }),
    { every: 5000, takeover_after: 20_000 },
  ),
  metrics: optional(
    object({ port: integer(0, 65_535), host: withDefault(text('an address to listen on'), '127.0.0.1') }),
  ),
  alarms: withDefault(object({ iterator_age: withDefault(duration(), 600_000) }), { iterator_age: 600_000 }),
  aws,
  limits,
  gate,
})

export type StreamSettings = Read<typeof STREAM>
