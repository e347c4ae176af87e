/** What other engines do to a table between runs, down to its housekeeping: the mark must outlive it, and what cannot be known must stop a run. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'vitest'
import { pseudolake } from '../helpers/cli.ts'
import { spark, testWith } from '../helpers/interop.ts'
import { lake } from '../helpers/lake.ts'

interface Seen {
  readonly exit: number
  readonly status?: string
  readonly rows?: number
  readonly files?: number
  readonly skipped_files?: number
  readonly notes?: readonly string[]
  readonly error?: { readonly code: string; readonly outcome: string; readonly hint: string }
}

testWith(
  'spark',
  'the mark survives an append, a compaction, expiry and the removal of orphans by Spark; a rollback stops the next run',
  async () => {
    const home = await lake()
    mkdirSync(join(home.dir, 'in'))
    writeFileSync(
      join(home.dir, 'job.yaml'),
      JSON.stringify({
        job: 'nightly',
        input: { path: 'in' },
        columns: { vin: { mode: 'deterministic' } },
        service: { embedded: { keyring: 'keys.json' } },
        output: { table: 'db.t', warehouse: 'warehouse' },
      }),
    )
    const put = (name: string, from: number) =>
      home.sql(
        `copy (select 'VIN' || (n % 7) as vin, n::int as n from range(${from}, ${from + 50}) r(n)) to '{dir}/in/${name}'`,
      )
    for (const [i, name] of ['a.parquet', 'b.parquet'].entries()) {
      await put(name, i * 100)
      expect((await pseudolake(['batch', '--config', 'job.yaml'], { cwd: home.dir })).code).toBe(0)
    }
    await home.sql(`copy (select 'VIN' || (n % 7) as vin, n::int as n from range(200, 250) r(n)) to '{dir}/c.parquet'`)
    const orphan = join(home.table, 'data', 'left-by-somebody.parquet')
    writeFileSync(orphan, 'of no table')

    const { seen, orphans, snapshots, rows } = await spark<{
      seen: Record<string, Seen>
      orphans: string[]
      snapshots: number
      rows: [number, number]
    }>(
      `
import json, shutil, subprocess, time
def batch(*more):
    ended = subprocess.run([args['node'], args['program'], 'batch', '--config', 'job.yaml', '--json', *more], cwd=args['dir'], capture_output=True, text=True)
    return {**json.loads(ended.stdout), 'exit': ended.returncode}
seen = {}
rows("insert into h.db.t select s_vin, n + 1000 from h.db.t where n < 10")
seen['append'] = batch()
rows("call h.system.rewrite_data_files(table => 'db.t', options => map('rewrite-all', 'true'))")
seen['compaction'] = batch()
# The rows of a.parquet are in a file with others now.
os.utime(args['dir'] + '/in/a.parquet', (1, 1))
seen['replace'] = batch('--set', 'input.changed=replace')
seen['fail'] = batch()
seen['append again'] = batch('--set', 'input.changed=append')
# So that the only snapshot that is left is not of the job.
rows("insert into h.db.t values (null, 2000)")
rows("call h.system.expire_snapshots(table => 'db.t', older_than => timestamp '2999-01-01 00:00:00', retain_last => 1)")
seen['expiry'] = batch()
# So old that Spark, which spares what is younger than three days, takes what nothing names.
old = time.time() - 10 * 86400
for folder, _, files in os.walk(args['table']):
    for file in files: os.utime(os.path.join(folder, file), (old, old))
orphans = [os.path.basename(row[0]) for row in rows("call h.system.remove_orphan_files(table => 'db.t')")]
seen['orphans'] = batch()
shutil.copy(args['dir'] + '/c.parquet', args['dir'] + '/in/c.parquet')
seen['new'] = batch()
count = rows('select count(*), count(distinct n) from h.db.t')[0]
snapshots = rows('select snapshot_id from h.db.t.snapshots order by committed_at')
rows("call h.system.rollback_to_snapshot('db.t', " + str(snapshots[0][0]) + ")")
seen['rollback'] = batch()
result = {'seen': seen, 'orphans': orphans, 'snapshots': len(snapshots), 'rows': count}
`,
      { node: process.execPath, program: resolve('bin/pseudolake.js'), dir: home.dir, table: home.table },
      { catalogs: { h: join(home.dir, 'warehouse') }, timeoutMs: 300_000 },
    )
    const nothing = { exit: 0, status: 'nothing-to-do', skipped_files: 2, notes: [] }
    expect(seen.append).toMatchObject(nothing)
    expect(seen.compaction).toMatchObject(nothing)
    expect(seen.replace).toMatchObject({
      exit: 2,
      error: { code: 'table/files-gone', outcome: 'nothing-published', hint: expect.stringMatching(/append/) },
    })
    expect(seen.fail).toMatchObject({ exit: 2, error: { code: 'input/changed' } })
    expect(seen['append again']).toMatchObject({ exit: 0, status: 'done', rows: 50, skipped_files: 1 })
    expect(seen.expiry).toMatchObject({
      ...nothing,
      notes: [expect.stringContaining('snapshots were expired up to this job’s last one')],
    })
    expect(orphans).toContain('left-by-somebody.parquet')
    expect(readdirSync(join(home.table, 'data'))).not.toContain('left-by-somebody.parquet')
    expect(seen.orphans).toMatchObject({ exit: 0, status: 'nothing-to-do', skipped_files: 2 })
    expect(seen.new).toMatchObject({ exit: 0, status: 'done', files: 1, rows: 50 })
    // Two inputs, eleven rows of Spark's, one input once more, and the new one.
    expect(rows).toEqual([211, 161])
    expect(snapshots).toBeGreaterThan(1)
    expect(seen.rollback).toMatchObject({
      exit: 2,
      error: { code: 'table/mark-unreadable', outcome: 'nothing-published', hint: expect.stringMatching(/\S/) },
    })
  },
  320_000,
)
