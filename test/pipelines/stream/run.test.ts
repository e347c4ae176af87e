import { expect, test } from 'vitest'
import { readStreamMark } from '../../../pipelines/stream/mark.ts'
import { background, recipient, stage, until } from './stage.ts'

const records = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ dept_id: String((from + i) % 10), vin: `V${from + i}`, n: from + i }))

test('what is in the stream is in the table, once, and a second run adds only what came since', async () => {
  const on = await stage()
  await on.put(records(0, 1000))
  const first = await on.run()
  expect(first).toMatchObject({ status: 'caught-up', records: 1000, rows: 1000, quarantined: 0, commits: 1, lag_ms: 0 })
  await on.put(records(1000, 1500))
  const second = await on.run()
  expect(second).toMatchObject({ records: 500, rows: 500 })
  expect(await on.run()).toMatchObject({ records: 0, commits: 0, status: 'caught-up' })
  const rows = await on.query('select s_vin, n, dept_id from t order by n')
  expect(rows).toHaveLength(1500)
  expect(await on.back(rows.map(([pseudonym]) => pseudonym))).toEqual(records(0, 1500).map(({ vin }) => vin))
  expect(rows.map(([, n]) => Number(n))).toEqual(records(0, 1500).map(({ n }) => n))
})

test('the table has the columns in the order of the records, the pseudonym in the place of its field', async () => {
  const on = await stage()
  await on.put([{ dept_id: '3', vin: '12345678', example_ts: '2023-09-26T10:00:00.123456' }])
  await on.run()
  const { schemas, 'current-schema-id': current } = await on.metadata()
  const { fields = [] } = schemas.find((schema) => schema['schema-id'] === current) ?? {}
  expect(fields.map(({ name, type, required }) => [name, type, required])).toEqual([
    ['dept_id', 'string', false],
    ['s_vin', 'string', false],
    ['example_ts', 'string', false],
  ])
})

test('values of every type come out as they went in', async () => {
  const on = await stage(1)
  const schema = {
    vin: 'string',
    big: 'long',
    x: 'double',
    price: 'decimal(30, 2)',
    small: 'decimal(9, 2)',
    ok: 'boolean',
    day: 'date',
    at: 'timestamptz',
    local: 'timestamp',
    tags: 'list<string>',
    'who.id': 'string',
    'who.age': 'int',
    raw: 'string',
  }
  await on.put([
    '{"vin":"V1","big":9223372036854775807,"x":0.1,"price":1234567890123456789012345678.90,"small":-0.05,"ok":true,"day":"2026-02-28","at":"2026-01-01T01:00:00.123456+01:00","local":"2026-01-01T00:00:00","tags":["a",null,"é"],"who":{"id":"W1","age":7},"raw":{"a":[1.0,null]}}',
    '{"vin":null,"big":-9007199254740993,"tags":[],"who":{},"raw":1.50}',
    '{"vin":"","tags":null,"who":null,"raw":"text"}',
  ])
  await on.run({ schema, columns: { vin: { mode: 'deterministic' }, 'who.id': { mode: 'deterministic' } } })
  const rows = await on.query(
    `select s_vin, big::varchar, x, price::varchar, small::varchar, ok, day::varchar, epoch_us("at")::varchar, local::varchar, to_json(tags)::varchar, who.s_id, who.age, who is null, raw
     from t order by raw`,
  )
  expect(await on.back(rows.map(([vin]) => vin))).toEqual([null, '', 'V1'].sort((a, b) => order(a) - order(b)))
  expect(await on.back(rows.map((row) => row[10]))).toEqual([null, null, 'W1'])
  const shown = rows.map(([, ...row]) => row.toSpliced(9, 1))
  expect(shown).toEqual([
    ['-9007199254740993', null, null, null, null, null, null, null, '[]', null, false, '1.50'],
    [null, null, null, null, null, null, null, null, null, null, true, 'text'],
    [
      '9223372036854775807',
      0.1,
      '1234567890123456789012345678.90',
      '-0.05',
      true,
      '2026-02-28',
      '1767225600123456',
      '2026-01-01 00:00:00',
      '["a",null,"é"]',
      7,
      false,
      '{"a":[1.0,null]}',
    ],
  ])
  function order(vin: string | null): number {
    return [null, '', 'V1'].indexOf(vin)
  }
})

test('nested fields that nobody declared are columns that are read, and one that comes later is null before', async () => {
  const on = await stage(1)
  await on.put([{ vin: 'V0', who: { id: 1, tags: ['a'] } }])
  await on.run({ new_fields: 'add' })
  await on.put([{ vin: 'V1', who: { id: 2, tags: [] }, more: { x: 1.5 } }])
  await on.run({ new_fields: 'add' })
  expect(await on.query('select who.id, len(who.tags), more.x from t order by 1')).toEqual([
    ['1', '1', null],
    ['2', '0', 1.5],
  ])
})

test('where a row comes from is in columns, if they are wanted', async () => {
  const on = await stage(1)
  const sequence = on.memory.append('s', 'shardId-000000000000', {
    partitionKey: 'k',
    data: Buffer.from('{"vin": "V", "note": "x"}'),
    arrivalMs: 1_767_225_600_123,
  })
  const record_columns = { arrival_time: 'arrived', shard: 'shard', sequence_number: 'seq' }
  await on.run({ record_columns, unlisted_columns: 'drop' })
  expect(await on.query('select arrived, shard, seq, count(*) over () from t')).toEqual([
    [expect.stringContaining('2026-01-01'), 'shardId-000000000000', sequence, expect.anything()],
  ])
  const columns = await on.query('select * from t')
  expect(columns[0]).toHaveLength(4)
})

test('a first start commits where it begins before it reads, so that a crash before the first rows loses none', async () => {
  const on = await stage(1)
  await on.put(records(0, 10))
  const start = { input: { stream: 's', start: 'latest' } }
  await on.run(start)
  expect(await on.query('select count(*) from t')).toEqual([['0']])
  const mark = readStreamMark((await on.metadata()).properties, 'test')
  expect(mark).toMatchObject({ epoch: 1 })
  expect(mark?.positions.shards.get('shardId-000000000000')).toMatchObject({ at: expect.any(Number) })
  await new Promise((resolve) => setTimeout(resolve, 5))
  await on.put(records(10, 20))
  await on.run(start)
  expect(await on.query('select min(n), count(*) from t')).toEqual([['10', '10']])
})

test('splits and merges while it runs: parents before children, nothing lost, nothing twice, each key in its order', async () => {
  const on = await stage(2)
  const keyOf = (record: object) => (record as { dept_id: string }).dept_id
  const running = background(on, { commit: { every: '300ms' } })
  const shards = ['shardId-000000000000', 'shardId-000000000001']
  for (let round = 0; round < 12; round++) {
    await on.put(records(round * 100, round * 100 + 100), keyOf)
    if (round % 4 === 1) shards.splice(0, 1, ...on.memory.split('s', shards[0] as string))
    if (round % 4 === 3) shards.splice(0, 2, on.memory.merge('s', shards[0] as string, shards[1] as string))
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
  await until(async () => running.run.gauges().rows === 1200)
  running.stop()
  await running.ended
  const rows = await on.inOrder('dept_id, n')
  expect(rows.map(([, n]) => Number(n)).sort((a, b) => a - b)).toEqual(records(0, 1200).map(({ n }) => n))
  const last = new Map<unknown, number>()
  for (const [key, n] of rows) {
    expect(Number(n)).toBeGreaterThan(last.get(key) ?? -1)
    last.set(key, Number(n))
  }
  expect(running.run.gauges().epoch).toBeGreaterThan(3)
}, 30_000)

test('told to stop, it commits what it has read and says where it is', async () => {
  const on = await stage(2)
  const running = background(on)
  await until(() => running.events.some(({ event }) => event === 'owner'))
  await on.put(records(0, 500))
  await until(() => running.run.gauges().records === 500)
  expect(running.run.gauges().commits).toBe(0)
  running.stop()
  const { report } = await running.ended
  expect(report).toMatchObject({ status: 'interrupted', rows: 500, commits: 1 })
  expect(await on.query('select count(*) from t')).toEqual([['500']])
})

test('a run of so many records ends there, and the next one goes on behind them', async () => {
  const on = await stage(1)
  await on.put(records(0, 1000))
  expect(await on.run({}, {}, { maxRecords: 300 })).toMatchObject({ status: 'enough', records: 300, rows: 300 })
  expect(await on.run({}, {}, { maxRecords: 300, untilCaughtUp: true })).toMatchObject({ records: 300 })
  expect(await on.run()).toMatchObject({ records: 400 })
  expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['1000', '1000']])
})

test('without a quarantine the first bad record ends the run: what is before it is committed, nothing after', async () => {
  const on = await stage(1)
  await on.put([...records(0, 100), 'no JSON', ...records(100, 200)])
  await expect(on.run()).rejects.toMatchObject({
    code: 'stream/bad-record',
    message: expect.stringContaining('not-json'),
    context: { outcome: 'partly-published', shard: 'shardId-000000000000' },
  })
  expect(await on.query('select count(*), max(n) from t')).toEqual([['100', '99']])
  await expect(on.run()).rejects.toMatchObject({ code: 'stream/bad-record' })
  const quarantine = { path: `${on.dir}/quarantine`, recipient: recipient().publicKey }
  expect(await on.run({ quarantine })).toMatchObject({ records: 101, rows: 100, quarantined: 1 })
  expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['200', '200']])
})

test('more bad records than the quarantine may take end the run', async () => {
  const on = await stage(1)
  await on.put(['bad', 'bad', 'bad', ...records(0, 10)])
  const quarantine = { path: `${on.dir}/quarantine`, recipient: recipient().publicKey, max_records: 2 }
  await expect(on.run({ quarantine })).rejects.toMatchObject({ code: 'stream/too-many-bad' })
  expect(readStreamMark((await on.metadata()).properties, 'test')?.quarantine).toMatchObject({ records: 2 })
})

test.each([
  ['ignore', { rows: 4, ignored_fields: 1 }, ['V0', 'V1', 'V2', 'V3'], [null, null, null, null]],
  ['add', { rows: 4, ignored_fields: 0 }, ['V0', 'V1', 'V2', 'V3'], [null, null, 'red', null]],
] as const)('a field that comes later: %s', async (new_fields, report, vins, colours) => {
  const on = await stage(1)
  await on.put([{ vin: 'V0' }, { vin: 'V1' }])
  await on.run({ new_fields })
  await on.put([{ vin: 'V2', colour: 'red' }, { vin: 'V3' }])
  const second = await on.run({ new_fields })
  expect(second.ignored_fields).toBe(report.ignored_fields)
  const column = new_fields === 'add' ? 'colour' : 'null'
  const rows = await on.query(`select s_vin, ${column} from t`)
  const back = await on.back(rows.map(([vin]) => vin))
  expect(back.toSorted()).toEqual(vins)
  expect(vins.map((vin) => rows[back.indexOf(vin)]?.[1])).toEqual(colours)
})

test('a field that comes later ends the run where it may not, and is not named where it looks like a value', async () => {
  const on = await stage(1)
  await on.put([{ vin: 'V0' }])
  await on.run({ new_fields: 'fail' })
  await on.put([{ vin: 'V1' }, { vin: 'V2', WVWZZZ1JZXW000001: 1 }])
  await expect(on.run({ new_fields: 'fail' })).rejects.toMatchObject({
    code: 'table/schema-changed',
    message: expect.not.stringContaining('WVWZZZ'),
    context: { hint: expect.stringContaining('new_fields') },
  })
  // Nor is a key of a batch run's configuration what a stream can be told.
  await expect(on.run({ columns: { vin: { mode: 'deterministic', as: 'other' } } })).rejects.toMatchObject({
    code: 'table/schema-changed',
    context: { hint: expect.not.stringContaining('schema_changes') },
  })
  expect(await on.query('select count(*) from t')).toEqual([['2']])
})

test('records that producers send again are dropped, by their keys, across restarts', async () => {
  const on = await stage(2)
  const dedupe = { keys: ['n'], window: '1h' }
  await on.put([...records(0, 500), ...records(200, 300)], (_, i) => `a${i}`)
  expect(await on.run({ dedupe })).toMatchObject({ records: 600, rows: 500, duplicates: 100 })
  for (let round = 0; round < 20; round++) {
    await on.put(records(round * 25, round * 25 + 50), (_, i) => `b${round}-${i}`)
    await on.run({ dedupe })
  }
  expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['525', '525']])
}, 60_000)

test('with all numbers distinct beyond 2^53, none is taken for another', async () => {
  const on = await stage(1)
  await on.put(Array.from({ length: 20 }, (_, i) => `{"vin": "V", "id": ${9_007_199_254_740_993n + BigInt(i)}}`))
  await on.run({ dedupe: { keys: ['id'] } })
  expect(await on.query('select count(distinct id) from t')).toEqual([['20']])
})
