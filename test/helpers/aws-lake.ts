/**
 * A lake as users deploy it: raw files and a warehouse in two buckets of a real store, a Glue catalog, an API key in Secrets Manager, and the
 * service over HTTP. Everything is asked by the command line as a process of its own.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Storage } from '../../lib/storage/storage.ts'
import { type FakeAws, fakeAws, KEYS } from './aws.ts'
import { type Ended, firstLine, pseudolake, type Running, start } from './cli.ts'
import { type GlueFake, glueFake } from './glue-fake.ts'
import { duckdb } from './lake.ts'
import { s3Over } from './s3/open.ts'
import { type Versitygw, versitygw, versitygwForPyarrow } from './s3/versitygw.ts'

export const API_KEY = 'an-api-key-that-is-long-enough'
export const SECRET = 'blog/api-key'

export interface AwsLake {
  readonly dir: string
  readonly store: Versitygw
  readonly storage: Storage
  readonly glue: GlueFake
  readonly aws: FakeAws
  /** Of the fake Secrets Manager, to be changed. */
  readonly secrets: Record<string, string | Uint8Array>
  /** Of the service, as configurations have it. */
  readonly endpoint: string
  readonly env: Readonly<Record<string, string>>
  /** Puts the rows of a query into `s3://raw/<key>` as Parquet. */
  put(key: string, query: string): Promise<void>
  /** Writes a configuration. @returns its file */
  config(text: string, name?: string): string
  cli(...args: string[]): Promise<Ended>
  /** `--json` of a command that must end with 0. */
  json(...args: string[]): Promise<Record<string, unknown>>
  start(...args: string[]): Running
  /** Locations below a prefix, sorted. */
  list(prefix: string): Promise<string[]>
}

export interface AwsLakeOptions {
  /** In the place of the fakes: an endpoint that is Glue, and one that is Secrets Manager. */
  readonly endpoints?: { readonly glue: string; readonly secretsmanager: string }
  /** PyArrow reads the store. @default where there are endpoints */
  readonly pyarrow?: boolean
}

export async function awsLake(options: AwsLakeOptions = {}): Promise<AwsLake> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-aws-lake-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const store = await ((options.pyarrow ?? options.endpoints) ? versitygwForPyarrow : versitygw)('raw', 'lake')
  onTestFinished(() => store.stop())
  const storage = s3Over(store.endpoint)
  const glue = await glueFake([])
  const secrets: Record<string, string | Uint8Array> = { [SECRET]: JSON.stringify({ api_key_value: API_KEY }) }
  const aws = await fakeAws(undefined, secrets)
  const env = {
    ...KEYS,
    AWS_REGION: 'eu-west-1',
    AWS_ENDPOINT_URL_S3: store.endpoint,
    AWS_ENDPOINT_URL_GLUE: options.endpoints?.glue ?? glue.url,
    AWS_ENDPOINT_URL: options.endpoints?.secretsmanager ?? aws.url,
  }
  const keyring = join(dir, 'keys.json')
  await pseudolake(['keys', 'create', '--out', keyring])
  const service = start(['service', 'start', '--keyring', keyring, '--port', '0', '--host', '127.0.0.1'], {
    env: { PSEUDOLAKE_API_KEY: API_KEY },
  })
  const endpoint = `${(await firstLine(service)).slice('listening on '.length)}/Dev/pseudonymization`
  const cli = (...args: string[]) => pseudolake(args, { cwd: dir, env })
  return {
    dir,
    store,
    storage,
    glue,
    aws,
    secrets,
    endpoint,
    env,
    cli,
    async put(key, query) {
      const file = join(dir, 'made.parquet')
      await duckdb(`copy (${query}) to '${file}' (format parquet)`)
      await storage.replace(`s3://raw/${key}`, readFileSync(file))
    },
    config(text, name = 'job.yaml') {
      const file = join(dir, name)
      writeFileSync(file, text)
      return file
    },
    async json(...args) {
      const { code, stdout, stderr } = await cli(...args, '--json')
      if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stdout}${stderr}`)
      return JSON.parse(stdout)
    },
    start: (...args) => start(args, { cwd: dir, env }),
    async list(prefix) {
      const found: string[] = []
      for await (const { location } of storage.list(prefix)) found.push(location)
      return found.sort()
    },
  }
}

/** The reference's configuration of the batch job on EMR, key for key, with its names filled in. */
export function originalConfig({ endpoint }: Pick<AwsLake, 'endpoint'>): string {
  return `repartition_no: 10
aws_region: eu-west-1
endpoint_url: ${endpoint}
secret_name: ${SECRET}
determinism: 'True'
input_s3_path: s3://raw/vehicles/
output_bucket_name: lake
input_column: vin
db_name: blog_batch_db
table_name: pseudo_table
`
}
