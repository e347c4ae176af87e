/** A table that was written into a bucket, read there by other people's readers, over the same protocol. */
import { expect } from 'vitest'
import { awsLake } from '../helpers/aws-lake.ts'
import { duckdbIceberg, pyiceberg, testWith } from '../helpers/interop.ts'
import { CREDENTIALS, REGION } from '../helpers/s3/open.ts'

testWith(
  ['versitygw', 'pyiceberg', 'duckdb'],
  'PyIceberg and DuckDB read a table in a bucket, before and after it grew',
  async () => {
    const lake = await awsLake()
    const rows = (from: number, to: number) =>
      `select 'VIN' || (i % 100) as vin, i as n from range(${from}, ${to}) r(i)`
    const config = lake.config(`
job: readers
input: { path: "s3://raw/in/" }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: ${lake.dir}/keys.json } }
output: { table: db.t, warehouse: "s3://lake/warehouse" }
`)
    const host = lake.store.endpoint.replace('http://', '')
    const inDuckdb = async () => {
      const [found] = await duckdbIceberg(`
      set s3_endpoint = '${host}'; set s3_url_style = 'path'; set s3_use_ssl = false; set s3_region = '${REGION}';
      set s3_access_key_id = '${CREDENTIALS.accessKeyId}'; set s3_secret_access_key = '${CREDENTIALS.secretAccessKey}';
      set unsafe_enable_version_guessing = true;
      select count(*) as rows, count(distinct s_vin) as vins, sum(n)::bigint as sum from iceberg_scan('s3://lake/warehouse/db/t')`)
      return Object.values(found ?? {}).map(Number)
    }
    const inPyiceberg = (version: number) =>
      pyiceberg<number[]>(
        `
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(args['metadata'], properties=args['properties'])
rows = table.scan().to_arrow().to_pylist()
result = [len(rows), len({row['s_vin'] for row in rows}), sum(row['n'] for row in rows)]
`,
        {
          metadata: `s3://lake/warehouse/db/t/metadata/v${version}.metadata.json`,
          properties: {
            's3.endpoint': lake.store.endpoint,
            's3.access-key-id': CREDENTIALS.accessKeyId,
            's3.secret-access-key': CREDENTIALS.secretAccessKey,
            's3.region': REGION,
            's3.force-virtual-addressing': 'false',
          },
        },
      )
    await lake.put('in/a.parquet', rows(0, 3000))
    await lake.json('batch', '--config', config)
    const first = [3000, 100, (2999 * 3000) / 2]
    expect(await inDuckdb()).toEqual(first)
    expect(await inPyiceberg(1)).toEqual(first)
    await lake.put('in/b.parquet', rows(3000, 5000))
    await lake.json('batch', '--config', config)
    const second = [5000, 100, (4999 * 5000) / 2]
    expect(await inDuckdb()).toEqual(second)
    expect(await inPyiceberg(2)).toEqual(second)
  },
)
