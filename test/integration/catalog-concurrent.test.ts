/** Another implementation's writer and ours, upon one table in Glue at the same moment. */
import { randomUUID } from 'node:crypto'
import { CreateDatabaseCommand } from '@aws-sdk/client-glue'
import { expect, onTestFinished } from 'vitest'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { motoGlue, pyicebergCatalog } from '../helpers/catalog-servers.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { versitygwForPyarrow } from '../helpers/s3/versitygw.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { SIMPLE, simpleFile } from '../iceberg/tables.ts'

const COMMITS = 8
const TABLE = { database: 'db', name: 't' }

testWith(
  ['versitygw', 'moto', 'pyiceberg'],
  `PyIceberg and we commit ${COMMITS} times each at once: every row of both is there, once`,
  async () => {
    const s3 = await versitygwForPyarrow('lake')
    onTestFinished(() => s3.stop())
    const glue = await motoGlue()
    onTestFinished(() => glue.stop())
    await glue.client().send(new CreateDatabaseCommand({ DatabaseInput: { Name: 'db' } }))
    const storage = s3Over(s3.endpoint)
    const clock = { ...waitlessClock(), wall: () => Date.now() }
    const context = { clock, random: Math.random, uuid: randomUUID }
    const catalog = glueCatalog({ client: glue.client(), storage, warehouse: 's3://lake/wh', ...context })
    const location = await catalog.newTableLocation(TABLE)
    const add = async (id: number) => {
      const files = [await simpleFile(storage, location, `ours-${id}`, [id])]
      // Of PyIceberg too: else it waits a minute after ten lost races, and we are gone.
      const setProperties = { 'commit.retry.num-retries': '200', 'commit.retry.max-wait-ms': '200' }
      await appendFiles(
        catalog,
        TABLE,
        { schema: SIMPLE, create: { properties: {} }, files, runId: 'run', setProperties },
        context,
      )
    }
    await add(0)

    const theirs = pyiceberg<{ acknowledged: number[]; conflicts: number }>(
      `
import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException
catalog = load_catalog('c', **args['catalog'])
schema = pa.schema([('id', pa.int64()), ('name', pa.string())])
acknowledged, conflicts = [], 0
for i in range(args['commits']):
    while True:
        try:
            catalog.load_table('db.t').append(pa.table({'id': [1000 + i], 'name': ['python']}, schema=schema))
            acknowledged.append(1000 + i)
            break
        except CommitFailedException:
            conflicts += 1
result = {'acknowledged': acknowledged, 'conflicts': conflicts}
`,
      { catalog: pyicebergCatalog(s3, { glue: glue.url }), commits: COMMITS },
      { timeoutMs: 120_000 },
    )
    let settled = false
    void theirs
      .finally(() => {
        settled = true
      })
      .catch(() => undefined)
    // As long as they are at work, so that the two do meet.
    let ours = 1
    for (; ours < COMMITS || !settled; ours++) {
      await add(ours)
      // A commit of PyIceberg takes some tenths of a second: it must get a gap now and then.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 1500))
    }
    const { acknowledged } = await theirs
    expect(acknowledged).toHaveLength(COMMITS)

    const state = await catalog.load(TABLE)
    const { rows } = await runQuery('select id from t order by id', {
      storage,
      tables: new Map([['t', { state, storage }]]),
      maxRows: 10_000,
    })
    const wanted = [...Array.from({ length: ours }, (_, id) => id), ...acknowledged].sort((a, b) => a - b)
    expect(rows.map(([id]) => Number(id))).toEqual(wanted)
    expect(state.metadata.snapshots).toHaveLength(ours + COMMITS)
    const { counts } = await verifyTable(state, { storage, current: true, now: Date.now() })
    // What PyIceberg leaves of a lost try is its own; nothing is missing or wrong.
    expect(Object.keys(counts).filter((kind) => kind !== 'orphan')).toEqual([])
  },
  180_000,
)
