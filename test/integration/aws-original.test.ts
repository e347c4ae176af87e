/**
 * A user of the reference who changes nothing but the program: the EMR job's YAML with its names filled in, Secrets Manager and Glue of moto (with
 * the compare-and-swap that it lacks), buckets of versitygw, our service over HTTP; and then everybody else who reads the table.
 */
import { CreateSecretCommand, PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { expect, onTestFinished } from 'vitest'
import { API_KEY, awsLake, originalConfig, SECRET } from '../helpers/aws-lake.ts'
import { motoGlue, pyicebergCatalog, sparkCatalog, trino } from '../helpers/catalog-servers.ts'
import { pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { CREDENTIALS, REGION } from '../helpers/s3/open.ts'

const ROWS = (from: number, to: number) =>
  `select (i % 50)::varchar as dept_id, 'VIN' || (i % 1000) as vin, '2023-09-26T10:00:00.' || i as example_ts from range(${from}, ${to}) r(i)`

testWith(
  ['versitygw', 'moto', 'pyiceberg', 'spark', 'trino'],
  'the reference’s EMR configuration runs unchanged, and PyIceberg, Spark and Trino read what it wrote',
  async () => {
    const moto = await motoGlue()
    onTestFinished(() => moto.stop())
    const secrets = new SecretsManagerClient({ endpoint: moto.url, region: REGION, credentials: CREDENTIALS })
    onTestFinished(() => secrets.destroy())
    const value = JSON.stringify({ api_key_value: API_KEY })
    await secrets.send(new CreateSecretCommand({ Name: SECRET, SecretString: '{"api_key_value": "not yet"}' }))
    await secrets.send(new PutSecretValueCommand({ SecretId: SECRET, SecretString: value }))
    const lake = await awsLake({ endpoints: { glue: moto.url, secretsmanager: moto.url } })
    await lake.put('vehicles/a.parquet', ROWS(0, 2000))
    const config = lake.config(originalConfig(lake))

    expect(await lake.json('batch', '--config', config)).toMatchObject({
      status: 'done',
      rows: 2000,
      location: 's3://lake/batch/warehouse/blog_batch_db/pseudo_table',
    })
    await lake.put('vehicles/b.parquet', ROWS(2000, 2500))
    expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 500, skipped_files: 1 })
    expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })

    const expected = [2500, 50, 1000, 2500]
    const counts = 'count(*), count(distinct dept_id), count(distinct s_vin), count(distinct example_ts)'
    const glue = { glue: moto.url }
    const python = await pyiceberg<{ columns: string[]; counts: number[] }>(
      `from pyiceberg.catalog import load_catalog
table = load_catalog('glue', **args).load_table('blog_batch_db.pseudo_table')
rows = table.scan().to_arrow()
result = {'columns': rows.column_names,
          'counts': [rows.num_rows] + [len(set(rows[name].to_pylist())) for name in ['dept_id', 's_vin', 'example_ts']]}`,
      pyicebergCatalog(lake.store, glue),
    )
    expect(python).toEqual({ columns: ['dept_id', 's_vin', 'example_ts'], counts: expected })

    const bySpark = await spark<number[][]>(
      `result = rows("select ${counts} from glue.blog_batch_db.pseudo_table")`,
      {},
      { settings: sparkCatalog('glue', lake.store, glue), env: { ...lake.store.env } },
    )
    expect(bySpark).toEqual([expected])

    const server = await trino(lake.dir, lake.store, moto.url)
    onTestFinished(() => server.stop())
    expect(await server.query(`select ${counts} from glue.blog_batch_db.pseudo_table`)).toEqual([expected])
    // What stands in for Athena writes too, and the job goes on behind it.
    await server.query(`insert into glue.blog_batch_db.pseudo_table values ('x', 'by-somebody-else', 'now')`)
    await lake.put('vehicles/c.parquet', ROWS(2500, 2600))
    expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 100, skipped_files: 2 })
    expect(await server.query('select count(*) from glue.blog_batch_db.pseudo_table')).toEqual([[2601]])
    expect(
      await lake.json('query', 'select count(*)::int n from t', '--table', 't=glue:blog_batch_db.pseudo_table'),
    ).toMatchObject({ rows: [{ n: 2601 }] })
  },
  240_000,
)
