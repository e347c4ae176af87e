/** Real catalogs and the engine that stands in for Athena, over a store of the test's own. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GlueClient } from '@aws-sdk/client-glue'
import { JDK, PYTHON, REST_CATALOG, TRINO } from './interop.ts'
import { CREDENTIALS, REGION } from './s3/open.ts'
import type { Versitygw } from './s3/versitygw.ts'
import { type ServerProcess, startServer } from './server-process.ts'

export interface MotoGlue extends ServerProcess {
  readonly url: string
  client(): GlueClient
}

/** moto's Glue with compare-and-swap on VersionId (moto_glue.py). */
export async function motoGlue(): Promise<MotoGlue> {
  const script = fileURLToPath(new URL('moto_glue.py', import.meta.url))
  const server = await startServer({
    command: PYTHON,
    args: (port) => [script, '-H', '127.0.0.1', '-p', String(port)],
    ready: (port) => `http://127.0.0.1:${port}/moto-api/`,
  })
  const url = `http://127.0.0.1:${server.port}`
  return {
    ...server,
    url,
    client: () => new GlueClient({ endpoint: url, region: REGION, credentials: CREDENTIALS, maxAttempts: 1 }),
  }
}

export interface RestServer extends ServerProcess {
  readonly uri: string
}

/** Apache Iceberg's own REST catalog, over SQLite in `dir`; it writes metadata files into the store. */
export async function restServer(dir: string, s3: Versitygw, warehouse: string): Promise<RestServer> {
  mkdirSync(dir, { recursive: true })
  const server = await startServer({
    command: 'java',
    args: () => ['-Xmx256m', '-cp', join(REST_CATALOG, '*'), 'org.apache.iceberg.rest.RESTCatalogServer'],
    cwd: dir,
    env: (port) => ({
      CATALOG_CATALOG__IMPL: 'org.apache.iceberg.jdbc.JdbcCatalog',
      CATALOG_URI: `jdbc:sqlite:${join(dir, 'catalog.db')}`,
      CATALOG_JDBC_USER: 'u',
      CATALOG_JDBC_PASSWORD: 'p',
      CATALOG_REST_PORT: String(port),
      CATALOG_WAREHOUSE: warehouse,
      CATALOG_IO__IMPL: 'org.apache.iceberg.aws.s3.S3FileIO',
      CATALOG_S3_ENDPOINT: s3.endpoint,
      CATALOG_S3_PATH__STYLE__ACCESS: 'true',
      CATALOG_CLIENT_REGION: REGION,
      CATALOG_S3_ACCESS__KEY__ID: CREDENTIALS.accessKeyId,
      CATALOG_S3_SECRET__ACCESS__KEY: CREDENTIALS.secretAccessKey,
    }),
    ready: (port) => `http://127.0.0.1:${port}/v1/config`,
  })
  return { ...server, uri: `http://127.0.0.1:${server.port}` }
}

export interface Trino extends ServerProcess {
  /** Runs one statement; rows as JSON values. */
  query(sql: string): Promise<unknown[][]>
}

/** Trino's Iceberg connector: catalog `glue` and, where there is one, `rest`. Takes ten seconds and half a gigabyte. */
export async function trino(dir: string, s3: Versitygw, glueUrl: string, restUri?: string): Promise<Trino> {
  const etc = join(dir, 'etc')
  mkdirSync(join(etc, 'catalog'), { recursive: true })
  const store = {
    'fs.native-s3.enabled': 'true',
    's3.endpoint': s3.endpoint,
    's3.region': REGION,
    's3.path-style-access': 'true',
    's3.aws-access-key': CREDENTIALS.accessKeyId,
    's3.aws-secret-key': CREDENTIALS.secretAccessKey,
  }
  put(join(etc, 'catalog', 'glue.properties'), {
    'connector.name': 'iceberg',
    'iceberg.catalog.type': 'glue',
    'hive.metastore.glue.region': REGION,
    'hive.metastore.glue.endpoint-url': glueUrl,
    'hive.metastore.glue.aws-access-key': CREDENTIALS.accessKeyId,
    'hive.metastore.glue.aws-secret-key': CREDENTIALS.secretAccessKey,
    'hive.metastore.glue.default-warehouse-dir': 's3://lake/trino',
    'iceberg.add-files-procedure.enabled': 'true',
    ...store,
  })
  if (restUri !== undefined)
    put(join(etc, 'catalog', 'rest.properties'), {
      'connector.name': 'iceberg',
      'iceberg.catalog.type': 'rest',
      'iceberg.rest-catalog.uri': restUri,
      ...store,
    })
  const server = await startServer({
    command: join(JDK, 'bin', 'java'),
    args: (port) => {
      put(join(etc, 'config.properties'), {
        coordinator: 'true',
        'node-scheduler.include-coordinator': 'true',
        'http-server.http.port': String(port),
        'node.bind-ip': '127.0.0.1',
        'node.internal-address': '127.0.0.1',
        'discovery.uri': `http://127.0.0.1:${port}`,
        'node.environment': 'test',
        'node.id': 'test',
        'plugin.dir': join(TRINO, 'plugin'),
        'catalog.config-dir': join(etc, 'catalog'),
        'catalog.management': 'static',
        'query.max-memory': '256MB',
        'query.max-memory-per-node': '256MB',
        'memory.heap-headroom-per-node': '128MB',
      })
      return [
        '-Xmx700m',
        '-XX:+UseSerialGC',
        '-Djdk.attach.allowAttachSelf=true',
        '-Dfile.encoding=UTF-8',
        '--enable-native-access=ALL-UNNAMED',
        '--sun-misc-unsafe-memory-access=allow',
        `-Dlog.output-file=${join(dir, 'server.log')}`,
        `-Dconfig=${join(etc, 'config.properties')}`,
        ...['-cp', join(TRINO, 'lib', '*'), 'io.trino.server.TrinoServer'],
      ]
    },
    cwd: TRINO,
    ready: (port) => `http://127.0.0.1:${port}/v1/status`,
    startMs: 120_000,
  })
  const statement = `http://127.0.0.1:${server.port}/v1/statement`
  // It answers before its catalogs are there.
  await waitFor(async () => {
    await runStatement(statement, 'show schemas from glue')
  })
  return { ...server, query: (sql) => runOnANode(statement, sql) }
}

interface TrinoAnswer {
  readonly nextUri?: string
  readonly data?: unknown[][]
  readonly error?: { readonly message: string }
}

/** Before it has a node to run on nothing of a statement is done. */
async function runOnANode(url: string, sql: string): Promise<unknown[][]> {
  for (let tried = 1; ; tried++)
    try {
      return await runStatement(url, sql)
    } catch (error) {
      if (tried === 120 || !String(error).includes('No nodes available')) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
}

async function runStatement(url: string, sql: string): Promise<unknown[][]> {
  const headers = { 'x-trino-user': 'test' }
  const rows: unknown[][] = []
  let answer = (await (await fetch(url, { method: 'POST', headers, body: sql })).json()) as TrinoAnswer
  for (;;) {
    if (answer.error) throw new Error(`Trino: ${answer.error.message} in ${sql}`)
    rows.push(...(answer.data ?? []))
    if (answer.nextUri === undefined) return rows
    answer = (await (await fetch(answer.nextUri, { headers })).json()) as TrinoAnswer
  }
}

async function waitFor(attempt: () => Promise<void>): Promise<void> {
  for (let tried = 1; ; tried++)
    try {
      return await attempt()
    } catch (error) {
      if (tried === 120) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
}

function put(file: string, settings: Readonly<Record<string, string>>): void {
  writeFileSync(
    file,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  )
}

/** Settings of a Spark catalog over one of these, by name. */
export function sparkCatalog(
  name: string,
  s3: Versitygw,
  catalog: { readonly glue: string } | { readonly rest: string },
): Record<string, string> {
  const settings = {
    '': 'org.apache.iceberg.spark.SparkCatalog',
    ...('glue' in catalog
      ? { '.type': 'glue', '.glue.endpoint': catalog.glue }
      : { '.type': 'rest', '.uri': catalog.rest }),
    '.io-impl': 'org.apache.iceberg.aws.s3.S3FileIO',
    '.s3.endpoint': s3.endpoint,
    '.s3.path-style-access': 'true',
    '.s3.access-key-id': CREDENTIALS.accessKeyId,
    '.s3.secret-access-key': CREDENTIALS.secretAccessKey,
    '.client.region': REGION,
    '.warehouse': 's3://lake/spark',
    '.cache-enabled': 'false',
  }
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`spark.sql.catalog.${name}${key}`, value]))
}

/** Properties of a PyIceberg catalog over one of these. */
export function pyicebergCatalog(
  s3: Versitygw,
  catalog: { readonly glue: string } | { readonly rest: string },
): Record<string, string> {
  return {
    ...('glue' in catalog
      ? {
          type: 'glue',
          'glue.endpoint': catalog.glue,
          'glue.region': REGION,
          'glue.access-key-id': CREDENTIALS.accessKeyId,
          'glue.secret-access-key': CREDENTIALS.secretAccessKey,
          warehouse: 's3://lake/py',
        }
      : { type: 'rest', uri: catalog.rest }),
    's3.endpoint': s3.endpoint,
    's3.access-key-id': CREDENTIALS.accessKeyId,
    's3.secret-access-key': CREDENTIALS.secretAccessKey,
    's3.region': REGION,
    's3.force-virtual-addressing': 'false',
  }
}
