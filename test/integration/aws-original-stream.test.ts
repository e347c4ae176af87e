/**
 * A user of the reference's streaming job who changes nothing but the program: its YAML with the names filled in, a Kinesis server of another
 * maker, an API key in Secrets Manager, a Glue catalog, buckets of versitygw, our service over HTTP, and `produce` in the producer's place.
 */
import { expect, onTestFinished } from 'vitest'
import { awsLake, SECRET } from '../helpers/aws-lake.ts'
import { testWith } from '../helpers/interop.ts'
import { adminOf, kinesisLocal } from '../helpers/kinesis/servers.ts'
import { REGION } from '../helpers/s3/open.ts'

testWith(
  ['versitygw', 'kinesis-local'],
  'the reference’s streaming configuration runs unchanged: from LATEST on, each record once, into Glue',
  async () => {
    const server = await kinesisLocal()
    onTestFinished(() => server.stop())
    await adminOf(server.client()).create('vehicles', 2)
    const lake = await awsLake()
    const config = lake.config(`endpoint_url: ${lake.endpoint}
secret_name: ${SECRET}
determinism: True
output_bucket_name: lake
input_column: vin
db_name: blog_stream_db
table_name: pseudo_table
kinesis_stream_name: vehicles
kinesis_endpoint_url: ${server.url}
kinesis_region: ${REGION}
`)
    const produce = (records: number) =>
      lake.json('produce', 'vehicles', '100', '2', '--records', `${records}`, '--endpoint-url', server.url)
    const stream = async () => {
      const { code, stdout, stderr } = await lake.cli('stream', '--config', config, '--until-caught-up', '--json')
      expect(code, stderr).toBe(0)
      return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
    }
    await produce(30)
    expect(await stream()).toMatchObject({ rows: 0, shards: 2 })
    await produce(500)
    expect(await stream()).toMatchObject({
      job: 'blog_stream_db.pseudo_table',
      rows: 500,
      table: 'blog_stream_db.pseudo_table',
      location: 's3://lake/realtime/warehouse/blog_stream_db/pseudo_table',
    })
    await produce(70)
    expect(await stream()).toMatchObject({ rows: 70 })
    expect(await stream()).toMatchObject({ rows: 0 })

    const table = ['--table', 't=glue:blog_stream_db.pseudo_table']
    const counts = 'count(*)::int as rows, count(s_vin)::int as vins, count(distinct dept_id)::int as depts from t'
    expect(
      await lake.json('query', `select ${counts} where s_vin like 'p2.%' and example_ts like '20%'`, ...table),
    ).toMatchObject({ rows: [{ rows: 570, vins: 570, depts: 10 }] })
    const shown = await lake.json('table', 'show', 'glue:blog_stream_db.pseudo_table')
    expect(shown.schema).toMatchObject([
      { name: 'dept_id', type: 'string' },
      { name: 's_vin', type: 'string' },
      { name: 'example_ts', type: 'string' },
    ])
    expect(shown.properties).toMatchObject({
      'pseudolake.max-snapshots': '200',
      'write.metadata.delete-after-commit.enabled': 'true',
      'write.metadata.metrics.column.s_vin': 'counts',
      'pseudolake.stream.blog_stream_db.pseudo_table': expect.stringContaining('"epoch"'),
    })
    expect(await lake.json('stream', 'positions', 'show', '--config', config)).toMatchObject({ status: 'good' })
  },
  120_000,
)
