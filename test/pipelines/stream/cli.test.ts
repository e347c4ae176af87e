/** The commands, as processes, over the SDK's own client. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pseudolake, start } from '../../helpers/cli.ts'
import { kinesisFake } from '../../helpers/kinesis/fake.ts'
import { recipient, stage, until } from './stage.ts'

const PLANTED = 'PLANTED-7f3a'

async function place(shards = 2, more: object = {}) {
  const on = await stage(1)
  const fake = await kinesisFake()
  fake.memory.createStream('s', shards)
  const keys = recipient()
  writeFileSync(join(on.dir, 'key.pem'), keys.pem, { mode: 0o600 })
  writeFileSync(
    join(on.dir, 'stream.json'),
    JSON.stringify({
      job: 'test',
      input: { stream: 's', region: 'eu-west-1', endpoint_url: fake.url },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: on.keyring } },
      output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
      ...more,
    }),
  )
  const at = { cwd: on.dir, env: fake.env }
  const put = (values: readonly unknown[]) =>
    fake.memory.put(
      's',
      values.map((value, i) => ({
        partitionKey: `${PLANTED}-${i}`,
        data: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
      })),
    )
  const cli = (...words: string[]) => pseudolake(words, at)
  const run = (...words: string[]) => start(words, at)
  const quarantine = { path: join(on.dir, 'quarantine'), recipient: keys.publicKey }
  return { ...on, fake, put, cli, spawn: run, quarantine }
}

const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ vin: `${PLANTED}-${from + i}`, n: from + i }))

test('stream --until-caught-up --json prints a line for each event, and last the summary', async () => {
  const home = await place()
  await home.put(rows(0, 200))
  const { code, stdout, stderr } = await home.cli(
    'stream',
    '--config',
    'stream.json',
    '--until-caught-up',
    '--json',
    '--quiet',
  )
  expect([code, stderr]).toEqual([0, ''])
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ event }) => event)).toEqual(['owner', 'commit', undefined])
  expect(lines[1]).toMatchObject({ event: 'commit', epoch: 2, records: 200, rows: 200, shards: 2, lag_ms: 0 })
  expect(lines[2]).toMatchObject({
    status: 'caught-up',
    records: 200,
    rows: 200,
    quarantined: 0,
    commits: 1,
    shards: 2,
    shard_states: { reading: 2, waiting: 0, ended: 0 },
    lag_ms: 0,
    positions: { 'shardId-000000000000': expect.stringMatching(/^4959\d{52}$/) },
  })
  expect(stdout).not.toContain(PLANTED)
  const none = await home.cli('stream', '--config', 'stream.json', '--max-records', '0', '--json')
  expect([none.code, JSON.parse(none.stdout)]).toMatchObject([2, { error: { code: 'options/invalid' } }])
  const people = await home.cli('stream', '--config', 'stream.json', '--until-caught-up')
  expect(people).toMatchObject({ code: 0, stdout: expect.stringContaining('0 records, 0 rows in 0 commits') })
})

test('SIGTERM commits what was read and ends with 143; SIGINT with 130', async () => {
  for (const [signal, status] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const home = await place()
    const running = home.spawn('stream', '--config', 'stream.json', '--json', '--quiet')
    let out = ''
    running.child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    await until(() => out.includes('"owner"'))
    await home.put(rows(0, 100))
    await until(() => home.fake.calls.filter((action) => action === 'GetRecords').length > 12)
    running.child.kill(signal)
    const { code, stdout } = await running.ended
    expect(code).toBe(status)
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ status: 'interrupted', rows: 100 })
    expect(await home.query('select count(*) from t')).toEqual([['100']])
  }
}, 30_000)

test('bad records: status 1, and the quarantine’s commands', async () => {
  const home = await place(1)
  await home.put([{ vin: `${PLANTED}-1`, n: 1 }, `{${PLANTED}`])
  const config = ['--config', 'stream.json', '--set', `quarantine=${JSON.stringify(home.quarantine)}`]
  const done = await home.cli('stream', ...config, '--until-caught-up', '--json')
  expect(done).toMatchObject({ code: 1 })
  const listed = await home.cli('quarantine', 'list', ...config)
  expect(listed).toMatchObject({ code: 1, stdout: expect.stringContaining('1 not-json') })
  expect(done.stdout + done.stderr + listed.stdout).not.toContain(PLANTED)
  const key = ['--key', 'key.pem']
  const opened = await home.cli('quarantine', 'open', ...config, ...key)
  expect(JSON.parse(opened.stdout)).toMatchObject({
    text: `{${PLANTED}`,
    reason: 'not-json',
    shard: expect.any(String),
  })
  const document = await home.cli('quarantine', 'open', ...config, ...key, '--json')
  expect(JSON.parse(document.stdout)).toEqual({ job: 'test', records: [JSON.parse(opened.stdout)] })
  expect(await home.cli('quarantine', 'replay', ...config, ...key)).toMatchObject({ code: 1 })
  expect(await home.cli('quarantine', 'purge', ...config, '--all')).toMatchObject({ code: 2 })
  const purged = await home.cli('quarantine', 'purge', ...config, '--all', '--reason', 'a test', '--json')
  expect(JSON.parse(purged.stdout)).toEqual({ job: 'test', purged: 1 })
  expect(await home.cli('quarantine', 'list', ...config)).toMatchObject({ code: 0 })
  chmodSync(join(home.dir, 'key.pem'), 0o644)
  expect(await home.cli('quarantine', 'open', ...config, ...key)).toMatchObject({ code: 2 })
}, 30_000)

test('positions are shown, and set anew with a reason', async () => {
  const home = await place(1)
  await home.put(rows(0, 10))
  await home.cli('stream', '--config', 'stream.json', '--until-caught-up')
  const shown = await home.cli('stream', 'positions', 'show', '--config', 'stream.json', '--json')
  expect(JSON.parse(shown.stdout)).toMatchObject({
    job: 'test',
    status: 'good',
    epoch: 2,
    shards: { 'shardId-000000000000': {} },
  })
  const reset = ['stream', 'positions', 'reset', '--config', 'stream.json']
  // Whoever looks at a stream or puts it right need not have the key of its service.
  const keyless = ['--set', 'service={ url: "https://service.example/pseudonymization", api_key: { env: NOT_SET } }']
  const seen = await home.cli('stream', 'positions', 'show', '--config', 'stream.json', '--json', ...keyless)
  expect(seen).toMatchObject({ code: 0, stdout: shown.stdout })
  const unasked = await home.cli('stream', '--config', 'stream.json', '--until-caught-up', '--json', ...keyless)
  expect(JSON.parse(unasked.stdout)).toMatchObject({ error: { code: 'config/invalid' } })
  expect(await home.cli(...reset, '--to', 'current', '--reason', 'nothing', ...keyless)).toMatchObject({ code: 0 })
  expect(await home.cli(...reset, '--to', 'trim_horizon')).toMatchObject({ code: 2 })
  expect(await home.cli(...reset, '--to', 'yesterday', '--reason', 'x')).toMatchObject({ code: 2 })
  expect(await home.cli(...reset, '--to', 'trim_horizon', '--reason', 'again')).toMatchObject({ code: 0 })
  await home.cli('stream', '--config', 'stream.json', '--until-caught-up')
  expect(await home.query('select count(*), count(distinct n) from t')).toEqual([['20', '10']])
}, 30_000)

test('a port that is taken ends it with 2, and nothing keeps the process', async () => {
  const home = await place(1)
  const port = new URL(home.fake.url).port
  const { code, stdout } = await home.cli(
    'stream',
    '--config',
    'stream.json',
    '--json',
    '--set',
    `metrics.port=${port}`,
  )
  expect([code, JSON.parse(stdout)]).toMatchObject([2, { error: { code: 'service/port-in-use' } }])
})

test('metrics and health are served while it runs', async () => {
  const home = await place(2, { metrics: { port: 0 }, commit: { every: '100ms' } })
  const running = home.spawn('stream', '--config', 'stream.json')
  let said = ''
  running.child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await until(() => /metrics and health on (\S+)/.test(said))
  const url = /metrics and health on (\S+)/.exec(said)?.[1] ?? ''
  await home.put(rows(0, 50))
  const text = async () => (await fetch(`${url}/metrics`)).text()
  await until(async () => /pseudolake_stream_rows_total\{job="test",stream="s"\} 50/.test(await text()))
  expect(await text()).toMatch(/^pseudolake_stream_owner\{job="test",stream="s"\} 1$/m)
  expect(await text()).toMatch(/^pseudolake_stream_shards\{job="test",stream="s",state="reading"\} 2$/m)
  expect(await text()).not.toContain(PLANTED)
  const health = await fetch(`${url}/health`)
  expect([health.status, await health.json()]).toEqual([200, expect.objectContaining({ status: 'ok', state: 'owner' })])
  expect((await fetch(`${url}/other`)).status).toBe(404)
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(143)
}, 30_000)

test('Kinesis that throttles, breaks off and lets iterators expire is read to the end all the same', async () => {
  const home = await place(3)
  await home.put(rows(0, 500))
  const faults = ['ProvisionedThroughputExceededException', '500', 'reset', 'ExpiredIteratorException', 'lost']
  let nth = 0
  home.fake.chance = (action) => (action === 'GetRecords' && nth++ < 15 ? faults[nth % faults.length] : undefined)
  const done = await home.cli('stream', '--config', 'stream.json', '--until-caught-up', '--json')
  expect(JSON.parse(done.stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
    rows: 500,
    throttled: expect.any(Number),
  })
  expect(await home.query('select count(*), count(distinct n) from t')).toEqual([['500', '500']])
}, 60_000)
