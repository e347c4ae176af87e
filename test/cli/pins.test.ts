/**
 * What a table was made with stops a run that would mix something else into it: each of these by the command line, with every byte of the
 * storage held against what was there before, and with the command that the error prints run as it is printed.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { editMetadata } from '../pipelines/verify/damage.ts'

const VEHICLES = `select 'd' || (i % 5) as dept, 'Vin' || (i % 40) as vin, i as n from range(100) r(i)`

interface Settings {
  readonly [key: string]: unknown
}

async function table(settings: Settings = {}) {
  const home = await lake(['default', 'people'])
  const input = (name: string, select = VEHICLES) => home.sql(`copy (${select}) to '{dir}/in/${name}.parquet'`)
  mkdirSync(join(home.dir, 'in'))
  await input('a')
  const configure = (more: Settings) =>
    writeFileSync(
      join(home.dir, 'job.yaml'),
      JSON.stringify({
        job: 'nightly',
        input: { path: 'in' },
        columns: { vin: { mode: 'deterministic' } },
        service: { embedded: { keyring: 'keys.json' } },
        output: { table: 'db.t', warehouse: 'lake' },
        ...more,
      }),
    )
  configure(settings)
  const run = async (...args: string[]) => {
    const { code, stdout } = await pseudolake(['batch', '--config', 'job.yaml', '--json', ...args], { cwd: home.dir })
    return { code, ...JSON.parse(stdout) }
  }
  expect(await run()).toMatchObject({ code: 0, rows: 100 })
  await input('b')
  const query = async (sql: string, name = 't') =>
    JSON.parse(
      (await pseudolake(['query', sql, '--json', '--table', `t=${join(home.dir, 'lake', 'db', name)}`])).stdout,
    ).rows
  return { ...home, input, configure, run, query, lake: join(home.dir, 'lake') }
}

/** Every file's bytes, and every folder. */
function contents(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return `${path} ${entry.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : ''}`
    })
    .sort()
}

/** The commands that an error's hint prints. */
function printed(hint: string): readonly string[] {
  return hint.match(/pseudolake batch .+?(?=; |\. |$)/g) ?? []
}

/** Runs it as a shell does, in a folder. */
function shell(command: string, cwd: string): Promise<{ code: number; stdout: string }> {
  const own = `pseudolake() { '${process.execPath}' '${resolve('bin/pseudolake.js')}' "$@"; }; ${command} --json`
  return new Promise((done) =>
    execFile('sh', ['-c', own], { cwd }, (error, stdout) => done({ code: Number(error?.code ?? 0), stdout })),
  )
}

/** Refused, by the plan and by the run, with the storage as it was; returns the commands that are printed. */
async function refused(home: Awaited<ReturnType<typeof table>>, code: string, ...args: string[]) {
  const before = contents(home.lake)
  const run = await home.run(...args)
  expect(run).toMatchObject({ code: 2, status: 'failed', error: { code, outcome: 'nothing-published' } })
  const planned = await home.run('--plan', ...args)
  expect([planned.error?.code, planned.error?.hint]).toEqual([code, run.error.hint])
  expect(contents(home.lake)).toEqual(before)
  const commands = printed(run.error.hint)
  expect(commands).not.toEqual([])
  return commands
}

/** Runs the command that resolves the error, and again what was refused, which has nothing to do then. */
async function resolves(home: Awaited<ReturnType<typeof table>>, command: string, again: readonly string[] = []) {
  const { code, stdout } = await shell(command, home.dir)
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'done', files: 1, rows: 100 }])
  expect(await home.run(...again)).toMatchObject({ code: 0, status: 'nothing-to-do', skipped_files: 2 })
}

const KEYS = [
  ['another mode of normalization', { vin: { mode: 'deterministic', normalize: ['upper'] } }],
  ['another list of what means null', { vin: { mode: 'deterministic', null_values: ['Vin1'] } }],
  ['another domain', { vin: { mode: 'deterministic', domain: 'people' } }],
] as const

test.each(KEYS)(
  '%s stops the run before anything is written, and the command that it prints goes on',
  async (_, columns) => {
    const home = await table()
    home.configure({ columns })
    const [command = '', ...others] = await refused(home, 'table/key-changed')
    expect(others).toEqual([])
    await resolves(home, command)
    expect(await home.query('select count(*) as n from t')).toEqual([{ n: '200' }])
  },
  60_000,
)

test('a wrong key stops the run before anything is written, with nothing new to read too, and the command that it prints goes on', async () => {
  const home = await table()
  const other = await lake(['default', 'people'])
  const set = ['--set', `service.embedded.keyring=${other.keyring}`]
  const [command = ''] = await refused(home, 'table/key-changed', ...set)
  rmSync(join(home.dir, 'in', 'b.parquet'))
  await refused(home, 'table/key-changed', ...set)
  await home.input('b')
  await resolves(home, command, set)
  // Joins are broken from here on, as the caller has accepted.
  expect(await home.query('select count(distinct s_vin) as n from t')).toEqual([{ n: '80' }])
}, 60_000)

test('another service stops the run before anything is written, and the command that it prints goes on', async () => {
  const home = await table()
  const keys = join(home.dir, 'others.json')
  expect((await pseudolake(['keys', 'create', '--out', keys, '--format', 'original'])).code).toBe(0)
  const service = start(['service', 'start', '--keyring', keys, '--port', '0', '--insecure-no-auth'])
  const url = `${(await firstLine(service)).slice('listening on '.length)}/Dev/pseudonymization`
  const set = ['--set', `service.url=${url}`]
  const [command = ''] = await refused(home, 'table/key-changed', ...set)
  await resolves(home, command, set)
  service.child.kill('SIGTERM')
  await service.ended
}, 60_000)

test('a new column stops the run before anything is written; of the two commands that it prints one leaves it out, one adds it', async () => {
  const WITH_MORE = `select *, 'x' || n as email from (${VEHICLES})`
  for (const [n, columns] of [
    [0, ['dept', 's_vin', 'n']],
    [1, ['dept', 's_vin', 'n', 'email']],
  ] as const) {
    const home = await table()
    await home.input('b', WITH_MORE)
    const commands = await refused(home, 'table/schema-changed')
    expect(commands).toHaveLength(2)
    await resolves(home, commands[n] as string)
    const described = await home.query('select column_name from (describe t)')
    expect(described.map((row: { column_name: string }) => row.column_name)).toEqual(columns)
  }
}, 90_000)

test.each([
  ['of another type', `select dept, vin, n::varchar as n from (${VEHICLES})`, {}],
  ['that is gone', `select vin, n from (${VEHICLES})`, {}],
  ['that is treated otherwise', VEHICLES, { columns: { vin: { mode: 'random' } } }],
  ['that gets another name', VEHICLES, { columns: { vin: { mode: 'deterministic', as: 'car' } } }],
  ['that is left out', VEHICLES, { columns: { vin: { mode: 'deterministic' }, dept: { mode: 'drop' } } }],
])(
  'a column %s stops the run before anything is written, and the command that it prints makes a new table',
  async (_, select, settings) => {
    const home = await table()
    home.configure(settings)
    rmSync(join(home.dir, 'in', 'a.parquet'))
    await home.input('b', select)
    const before = contents(home.table.replace('warehouse', 'lake'))
    const [command = '', ...others] = await refused(home, 'table/schema-changed')
    expect(others).toEqual([])
    const { code, stdout } = await shell(command, home.dir)
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'done', rows: 100, table: 'db.t_new' }])
    expect(await home.query('select count(*) as n from t', 't_new')).toEqual([{ n: '100' }])
    expect(contents(home.table.replace('warehouse', 'lake'))).toEqual(before)
  },
  60_000,
)

test('a pin that is not one stops the run before anything is written, and the command that it prints makes it anew', async () => {
  const home = await table()
  await editMetadata(join(home.lake, 'db', 't'), ({ properties }) => {
    properties['pseudolake.column.s_vin'] = 'not one'
  })
  const [command = ''] = await refused(home, 'table/key-changed')
  await resolves(home, command)
}, 60_000)

test('the command that is printed chooses the inputs that were chosen', async () => {
  const home = await table()
  await home.input('c')
  writeFileSync(join(home.dir, 'the list'), 'in/c.parquet\nin/b.parquet\n')
  home.configure({ columns: { vin: { mode: 'deterministic', normalize: ['trim'] } } })
  const chosen = ['--inputs-from', 'the list', '--max-files', '1', '--modified-since', '2001-01-01']
  const [command = ''] = await refused(home, 'table/key-changed', ...chosen)
  const { code, stdout } = await shell(command, home.dir)
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'done', files: 1, skipped_files: 0 }])
}, 60_000)

test('a setting that is printed takes the place of the one that was typed', async () => {
  const home = await table()
  await home.input('b', `select *, 1 as more from (${VEHICLES})`)
  const typed = ['--set', 'schema_changes=fail', '--set', 'limits.memory_mb=400']
  const [command = ''] = await refused(home, 'table/schema-changed', ...typed)
  expect(command).toBe('pseudolake batch --config job.yaml --set limits.memory_mb=400 --set schema_changes=drop')
  await resolves(home, command)
}, 60_000)
