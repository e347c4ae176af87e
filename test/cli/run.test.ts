import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ERRORS } from '../../lib/core/errors.ts'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { editMetadata } from '../pipelines/verify/damage.ts'

async function job(rows = 1000) {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  await home.sql(`copy (select 'VIN' || (i % 40) as vin, i as n from range(${rows}) r(i)) to '{dir}/in/a.parquet'`)
  const config = join(home.dir, 'job.yaml')
  writeFileSync(
    config,
    `job: nightly
input: { path: in }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output: { table: db.t, warehouse: warehouse }
`,
  )
  return { ...home, config }
}

test('without a command the overview is shown, and the status says that nothing ran', async () => {
  const { code, stdout } = await pseudolake([])
  expect(code).toBe(2)
  expect(stdout).toContain('pseudolake demo')
  expect((await pseudolake(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('help shows usage, options with their defaults, and examples', async () => {
  const { code, stdout } = await pseudolake(['datagen', '--help'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/Usage: pseudolake datagen \[SIZE_MB\] \[options\]/)
  expect(stdout).toContain('default 10000')
  expect(stdout).toContain('Examples:')
})

test('help is found however it is asked for, of a group of commands too', async () => {
  const one = (await pseudolake(['keys', 'create', '--help'])).stdout
  expect(one).toMatch(/^.+\n\nUsage: pseudolake keys create /)
  for (const words of [
    ['keys', 'create', '-h'],
    ['help', 'keys', 'create'],
  ])
    expect(await pseudolake(words)).toMatchObject({ code: 0, stdout: one, stderr: '' })
  const all = (await pseudolake(['--help'])).stdout
  for (const words of [['-h'], ['help'], ['help', '--help']])
    expect(await pseudolake(words)).toMatchObject({ code: 0, stdout: all })
  for (const words of [
    ['keys', '-h'],
    ['help', 'keys'],
    ['keys', '--help'],
  ]) {
    const { code, stdout } = await pseudolake(words)
    expect(code).toBe(0)
    expect(stdout).toContain('keys callers grant')
    expect(stdout).not.toContain('table show')
  }
  expect(await pseudolake(['help', 'kesy'])).toMatchObject({ code: 2, stdout: '' })
})

test.each([
  [['bacth'], /did you mean batch/],
  [['batch', '--confg', 'x'], /did you mean --config/],
  [['batch'], /--config F is required/],
  [['keys'], /keys create/],
  [['query', 'select 1', 'x', '--table', 'a=b'], /one too many/],
  [['datagen', '--rows', 'many', '--out', 'x'], /--rows: expected an integer/],
])('%j is refused with what was meant', async (args, said) => {
  const { code, stderr, stdout } = await pseudolake(args)
  expect(code).toBe(2)
  expect(stderr).toMatch(said)
  expect(stdout).toBe('')
})

test('batch --json prints the documented document and nothing else', async () => {
  const home = await job()
  const { code, stdout, stderr } = await pseudolake(['batch', '--config', 'job.yaml', '--json'], { cwd: home.dir })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const report = JSON.parse(stdout)
  expect(report).toMatchObject({
    job: 'nightly',
    run_id: expect.stringMatching(/^\d{8}T\d{6}Z-[0-9a-f]{8}$/),
    status: 'done',
    rows: 1000,
    files: 1,
    skipped_files: 0,
    commits: 1,
    distinct: 40,
    distinct_exact: true,
    service: { requests: 2, identifiers: 41, retries: 0, throttled: 0 },
    bytes_in: expect.any(Number),
    bytes_out: expect.any(Number),
    seconds: expect.any(Number),
    cpu_seconds: expect.any(Number),
    peak_rss_bytes: expect.any(Number),
    table: 'db.t',
    location: home.table,
    snapshot_id: expect.stringMatching(/^\d+$/),
    plan: {
      basis: 'footers',
      files: { planned: 1, actual: 1 },
      rows: { planned: 1000, actual: 1000 },
      requests: { planned: 2, actual: 2, quality: 'guessed' },
      columns: [{ column: 'vin', action: 'replaced' }, { column: 'n' }],
    },
  })
  const again = await pseudolake(['batch', '--config', 'job.yaml'], { cwd: home.dir })
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing to do') })
  const shown = JSON.parse((await pseudolake(['table', 'show', home.table, '--json'])).stdout)
  expect(shown).toMatchObject({
    location: home.table,
    format_version: 2,
    snapshot_id: report.snapshot_id,
    rows: 1000,
    files: 1,
  })
})

test('a failure under --json is one document too, with code, outcome and hint', async () => {
  const home = await job()
  const { code, stdout, stderr } = await pseudolake(
    ['batch', '--config', 'job.yaml', '--set', 'columns.vni.mode=drop', '--json'],
    { cwd: home.dir },
  )
  expect(code).toBe(2)
  expect(JSON.parse(stdout)).toEqual({
    status: 'failed',
    error: {
      code: 'input/column-missing',
      retryable: false,
      outcome: 'nothing-published',
      message: expect.stringContaining('did you mean vin?'),
      hint: ERRORS['input/column-missing'].fix,
    },
  })
  expect(stderr).toContain('error input/column-missing')
})

test('what can be said against a configuration is said before anything is read', async () => {
  const home = await job()
  symlinkSync(join(home.dir, 'in'), join(home.dir, 'link'))
  writeFileSync(join(home.dir, 'in', 'broken.parquet'), 'no Parquet')
  for (const [code, ...set] of [
    ['config/invalid', 'service.url=https://host/Dev/reidentification'],
    ['config/invalid', 'service.url=https://host/pseudonymization', 'service.api_key.env=NOT_SET_HERE'],
    ['config/invalid', 'service.auth=iam'],
    ['config/invalid', 'columns={}'],
    ['config/overlap', 'output.state=in/state'],
    ['config/overlap', 'output.warehouse=link/warehouse'],
    ['config/overlap', 'input.path=link', 'output.warehouse=in'],
    ['input/not-parquet', 'job=fine'],
  ]) {
    const options = set.flatMap((one) => ['--set', one])
    const { code: exit, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--json', ...options], {
      cwd: home.dir,
    })
    expect([set, exit, JSON.parse(stdout).error?.code]).toEqual([set, 2, code])
  }
}, 60_000)

test('an output that cannot be a folder is named as such', async () => {
  const home = await job()
  writeFileSync(join(home.dir, 'warehouse'), 'a file')
  const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--json'], { cwd: home.dir })
  expect([code, JSON.parse(stdout).error.code]).toEqual([2, 'storage/denied'])
})

test('keys, service and batch work together as the tour says, over HTTP with a caller’s key', async () => {
  const home = await job()
  const keys = join(home.dir, 'http-keys.json')
  expect((await pseudolake(['keys', 'create', '--out', keys])).code).toBe(0)
  const service = start(['service', 'start', '--keyring', keys, '--port', '0'], {
    env: { PSEUDOLAKE_API_KEY: 'a-long-enough-api-key' },
  })
  const line = await firstLine(service)
  expect(line).toMatch(/^listening on http:\/\/127\.0\.0\.1:\d+$/)
  const url = `${line.slice('listening on '.length)}/Dev/pseudonymization`
  const set = ['--set', `service.url=${url}`, '--set', 'service.api_key.env=KEY', '--json']
  const wrong = await pseudolake(['batch', '--config', 'job.yaml', ...set], {
    cwd: home.dir,
    env: { KEY: 'another-api-key-altogether' },
  })
  expect([wrong.code, JSON.parse(wrong.stdout).error.code]).toEqual([2, 'service/denied'])
  const right = await pseudolake(['batch', '--config', 'job.yaml', ...set], {
    cwd: home.dir,
    env: { KEY: 'a-long-enough-api-key' },
  })
  expect(JSON.parse(right.stdout)).toMatchObject({ status: 'done', rows: 1000, service: { requests: 2 } })
  service.child.kill('SIGTERM')
  const { code, stdout } = await service.ended
  expect([code, stdout]).toEqual([0, `${line}\n`])
  for (const text of [wrong.stderr, wrong.stdout, right.stderr, right.stdout, (await service.ended).stderr]) {
    expect(text).not.toContain('api-key')
    expect(text).not.toMatch(/VIN\d|p2\./)
  }
})

test('a service that is down is asked again for a while, then the run fails: status 3, safe to run again', async () => {
  const home = await job()
  const down = ['--set', 'service.url=http://127.0.0.1:9/pseudonymization', '--json']
  const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', ...down], { cwd: home.dir })
  expect([code, JSON.parse(stdout).error]).toEqual([
    3,
    expect.objectContaining({ code: 'service/unavailable', retryable: true, outcome: 'nothing-published' }),
  ])
  expect(files(join(home.dir, 'warehouse'))).toEqual([])
}, 60_000)

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)('%s ends a run in order, with status %i, and the next run does the work', async (signal, status) => {
  const home = await job()
  mkdirSync(join(home.dir, 'many'))
  await home.sql(`copy (select 'VIN' || i as vin from range(300000) r(i)) to '{dir}/many/a.parquet'`)
  // Every cell is a call of its own, so that the signal finds the run at work.
  const stopped = start(
    ['batch', '--config', 'job.yaml', '--set', 'columns.vin.mode=random', '--set', 'input.path=many', '--json'],
    { cwd: home.dir },
  )
  await until(() => files(join(home.dir, 'warehouse')).length > 0)
  stopped.child.kill(signal)
  const { code, stdout } = await stopped.ended
  expect(code).toBe(status)
  expect(JSON.parse(stdout).error).toMatchObject({
    code: 'run/interrupted',
    retryable: true,
    outcome: 'nothing-published',
  })
  expect(files(join(home.dir, 'warehouse'))).toEqual([])
})

test('a run that is killed leaves nothing a reader could see, and the next one does the work', async () => {
  const home = await job(200_000)
  const run = start(['batch', '--config', 'job.yaml', '--set', 'columns.vin.mode=random'], { cwd: home.dir })
  await until(() => files(join(home.dir, 'warehouse')).length > 0)
  run.child.kill('SIGKILL')
  await run.ended
  expect(files(join(home.dir, 'warehouse')).filter((name) => !/_tmp-|\.begun$/.test(name))).toEqual([])
  const next = await pseudolake(['batch', '--config', 'job.yaml', '--json'], { cwd: home.dir })
  expect(JSON.parse(next.stdout)).toMatchObject({ status: 'done', rows: 200_000 })
  expect(files(join(home.dir, 'warehouse')).filter((name) => name.includes('_tmp-'))).toEqual([])
  for (const left of files(join(home.dir, 'warehouse')))
    expect(readFileSync(join(home.dir, 'warehouse', left), 'latin1')).not.toMatch(/VIN\d/)
})

function files(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((entry) =>
      entry.isFile() ? join(entry.parentPath, entry.name).slice(dir.length + 1) : [],
    )
  } catch {
    return []
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((done) => setTimeout(done, 10))
  if (!holds()) throw new Error('did not come about in 10 s')
}

test('a run over a list of inputs, over recent ones, or over a few', async () => {
  const home = await job()
  await home.sql(`copy (select 'VIN' as vin, 1::bigint as n) to '{dir}/in/b.parquet'`)
  writeFileSync(join(home.dir, 'list.txt'), 'in/b.parquet\n\n')
  const run = async (...args: string[]) =>
    JSON.parse((await pseudolake(['batch', '--config', 'job.yaml', '--json', ...args], { cwd: home.dir })).stdout)
  expect(await run('--inputs-from', 'list.txt')).toMatchObject({ files: 1, rows: 1 })
  expect(await run('--modified-since', '2999-01-01')).toMatchObject({ status: 'nothing-to-do', skipped_files: 0 })
  expect(await run('--max-files', '1')).toMatchObject({ files: 1, rows: 1000, skipped_files: 1 })
  for (const [option, value] of [
    ['--modified-since', 'yesterday'],
    ['--modified-since', '2026-01-01T00:00'],
    ['--max-files', '0'],
    ['--inputs-from', 'nowhere.txt'],
  ] as const)
    expect((await run(option, value)).error).toMatchObject({ code: 'options/invalid' })
}, 60_000)

test('--adopt says what the rows of a table without a mark are', async () => {
  const home = await job()
  const run = async (...args: string[]) => {
    const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--json', ...args], { cwd: home.dir })
    return { code, ...JSON.parse(stdout) }
  }
  expect(await run()).toMatchObject({ code: 0, rows: 1000 })
  await editMetadata(home.table, ({ properties }) => void delete properties['pseudolake.job.nightly'])
  expect(await run()).toMatchObject({
    code: 2,
    error: { code: 'table/no-mark', hint: expect.stringContaining('--adopt all') },
  })
  expect(await run('--adopt', 'some')).toMatchObject({ code: 2, error: { code: 'options/invalid' } })
  expect(await run('--adopt', 'all')).toMatchObject({ code: 0, status: 'done', rows: 0, skipped_files: 1 })
  expect(await run()).toMatchObject({ code: 0, status: 'nothing-to-do', skipped_files: 1 })
}, 60_000)

test('the command that resolves an error is the one that was typed, without what may be a secret', async () => {
  const { dir } = await job()
  const set = ['--set', 'limits.memory_mb=256', '--set', 'columns={ vin: { mode: random } }']
  const secret = ['--set', 'columns.vin.null_values=[PLANTED]']
  const batch = (...words: string[]) => pseudolake(['batch', '--config', 'job.yaml', '--quiet', ...words], { cwd: dir })
  expect((await batch()).code).toBe(0)
  const { code, stderr } = await batch(...set, ...secret)
  expect(code).toBe(2)
  expect(stderr).toContain(
    "pseudolake batch --config job.yaml --set limits.memory_mb=256 --set 'columns={ vin: { mode: random } }' --set 'columns.vin.null_values=…' --set output.table=db.t_new",
  )
  expect(stderr).not.toContain('PLANTED')
})

test('no folder that is named by a value of a protected column is in an error, of the run or of its plan', async () => {
  const home = await job()
  const folders = join(home.dir, 'hive', 'vin=PLANTED%201', 'n=7')
  mkdirSync(folders, { recursive: true })
  writeFileSync(join(folders, 'a.parquet'), 'no Parquet')
  const run = (...args: string[]) =>
    pseudolake(['batch', '--config', 'job.yaml', '--set', 'input.path=hive', ...args], { cwd: home.dir })
  for (const args of [[], ['--plan'], ['--json'], ['--plan', '--json'], ['--report', 'page.html']]) {
    const { code, stdout, stderr } = await run(...args)
    expect(code).toBe(2)
    expect(`${stdout}${stderr}`).toContain('/hive/vin=…/n=7/a.parquet')
    expect(`${stdout}${stderr}`).not.toContain('PLANTED')
  }
  expect(readFileSync(join(home.dir, 'page.html'), 'utf8')).not.toContain('PLANTED')
  await home.sql(`copy (select 1::bigint as m) to '${folders}/a.parquet'`)
  expect((await run()).code).toBe(0)
  await home.sql(`copy (select 2::bigint as m, 'x' as more) to '${folders}/a.parquet'`)
  for (const set of ['input.changed=fail', 'input.changed=replace']) {
    const { code, stderr } = await run('--set', set)
    expect([code, stderr.includes('PLANTED')]).toEqual([2, false])
  }
}, 60_000)
