import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Client } from '../../lib/client/compose.ts'
import type { PseudonymRequest } from '../../lib/client/pseudonymizer.ts'
import type { StepWork } from '../../pipelines/batch/file.ts'
import type { InputFile } from '../../pipelines/batch/inputs.ts'
import { Runner, type RunnerOptions } from '../../pipelines/batch/runner.ts'
import { type Thread, Threads } from '../../pipelines/batch/threads/thread.ts'
import { type Lake, lake } from '../helpers/lake.ts'

const COLUMNS = { vin: { mode: 'deterministic' }, owner: { mode: 'random' } }
/** For two threads. */
const ROOM = ['limits.memory_mb=768']
/** However little there is to do. */
const threads = { most: 2, leastBytes: 0 }

async function inputs(home: Lake, files: number, vin = (_file: number) => "'VEHICLE' || (i % 700)"): Promise<void> {
  mkdirSync(join(home.dir, 'in'), { recursive: true })
  for (let f = 0; f < files; f++)
    await home.sql(
      `copy (select ${vin(f)} as vin, 'owner' || (i % 90) as owner, i + ${f * 10_000} as n from range(3000) r(i))
       to '{dir}/in/${f}.parquet' (format parquet, row_group_size 1000)`,
    )
}

/** What a failed run must not leave. */
const leftovers = (home: Lake) => (existsSync(join(home.table, 'data')) ? readdirSync(join(home.table, 'data')) : [])

/** A client that changes what it is asked for or what it answers. */
function through(change: (request: PseudonymRequest, values: readonly string[], call: number) => readonly string[]) {
  let calls = 0
  return async (connect: () => Promise<Client>): Promise<Client> => {
    const own = await connect()
    return {
      ...own,
      client: {
        async call(request) {
          const answer = await own.client.call(request)
          return { ...answer, values: change(request, answer.values, calls++) }
        },
      },
    }
  }
}

test('threads make the table that one thread makes', { timeout: 60_000 }, async () => {
  const home = await lake()
  await inputs(home, 6)
  const report = await home.run({ columns: COLUMNS, set: ROOM }, {}, { threads })
  expect(report).toMatchObject({ status: 'done', rows: 18_000, files: 6, gate: { passed: true } })
  const rows = await home.query('select n, s_vin, s_owner from t order by n')
  const back = await home.back(rows.map(([, vin]) => vin))
  expect(back).toEqual(rows.map(([n]) => `VEHICLE${(Number(n) % 10_000) % 700}`))
  expect(new Set(rows.map(([, , owner]) => owner)).size).toBe(18_000)
  const owners = await home.back(rows.map(([, , owner]) => owner))
  expect(owners).toEqual(rows.map(([n]) => `owner${(Number(n) % 10_000) % 90}`))
})

test('what one thread has asked for no other asks for again, and the gate of the run has seen all files', {
  timeout: 60_000,
}, async () => {
  const home = await lake()
  await inputs(home, 6)
  const report = await home.run({ columns: { vin: COLUMNS.vin, owner: { mode: 'drop' } }, set: ROOM }, {}, { threads })
  // The key check is one more.
  expect(report).toMatchObject({ distinct: 700, distinct_exact: true, service: { identifiers: 701 } })
  const counts = Object.fromEntries(report.gate.checks.map((check) => [check.name, check.counts]))
  expect(counts.rows).toEqual({ files: 6, rows: 18_000, row_groups: 12 })
  expect(counts.one_to_one).toEqual({ chunks: 12 })
})

test('one pseudonym for values of two threads fails the gate', { timeout: 60_000 }, async () => {
  const home = await lake()
  await inputs(home, 2, (file) => `'VEHICLE${file}-' || (i % 50)`)
  let first: string | undefined
  const service = through(({ values, deterministic }, answers) => {
    if (!deterministic) return answers
    return answers.map((answer, i) => {
      if (values[i] === 'VEHICLE0-7' || values[i] === 'VEHICLE1-7') first ??= answer
      return values[i] === 'VEHICLE0-7' || values[i] === 'VEHICLE1-7' ? (first ?? answer) : answer
    })
  })
  const report = await home.run({ columns: COLUMNS, set: ROOM }, {}, { threads, service })
  expect(report.status).toBe('gate-failed')
  expect(report.gate.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['one_to_one'])
  expect(JSON.stringify(report)).not.toContain('VEHICLE0-7')
})

test('two pseudonyms for a value in two threads fail the gate', { timeout: 60_000 }, async () => {
  const home = await lake()
  await inputs(home, 2)
  let asked = 0
  // The second thread that asks for it is told the pseudonym of a value that nobody has.
  const service = async (connect: () => Promise<Client>): Promise<Client> => {
    const own = await connect()
    const lie = (value: string) => (value === 'VEHICLE9' && asked++ > 0 ? 'VEHICLE-OTHER' : value)
    return { ...own, client: { call: (request) => own.client.call({ ...request, values: request.values.map(lie) }) } }
  }
  const report = await home.run({ columns: COLUMNS, set: ROOM }, {}, { threads, service })
  expect(asked).toBe(2)
  expect(report.status).toBe('gate-failed')
  expect(report.gate.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['one_to_one'])
})

test('values of one thread’s columns are searched for in the copied columns of the other’s', {
  timeout: 60_000,
}, async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  const file = (name: string, vin: string, note: string) =>
    home.sql(`copy (select ${vin} as vin, ${note} as note from range(2000)) to '{dir}/in/${name}' (format parquet)`)
  await file('a.parquet', "'VEHICLE' || (range % 100)", "'nothing'")
  await file('b.parquet', "'OTHER' || (range % 100)", "'VEHICLE' || (range % 100)")
  const report = await home.run({ columns: { vin: COLUMNS.vin }, set: ROOM }, {}, { threads })
  expect(report.gate.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['originals'])
})

test('a file that fails in a thread fails the run with its error, and nothing is left or published', {
  timeout: 60_000,
}, async () => {
  const home = await lake()
  await inputs(home, 5)
  const path = join(home.dir, 'in', '3.parquet')
  const bytes = readFileSync(path)
  // In the data, behind a footer that is whole: found when the file is rewritten, not when it is opened.
  bytes.fill(0xff, 4, 4000)
  writeFileSync(path, bytes)
  await expect(home.run({ columns: COLUMNS, set: ROOM }, {}, { threads })).rejects.toMatchObject({
    code: 'input/corrupt',
    context: { location: path, outcome: 'nothing-published' },
  })
  expect(leftovers(home).filter((name) => name.startsWith('_'))).toEqual([])
  await inputs(home, 5)
  expect(await home.run({ columns: COLUMNS, set: ROOM }, {}, { threads })).toMatchObject({
    status: 'done',
    rows: 15_000,
  })
})

test('a run that is told to stop stops its threads', { timeout: 60_000 }, async () => {
  const home = await lake()
  await inputs(home, 8)
  const stop = new AbortController()
  const service = through((_request, values, call) => {
    if (call === 3) stop.abort(new Error('SIGTERM'))
    return values
  })
  const run = home.run({ columns: COLUMNS, set: ROOM }, {}, { threads, service, signal: stop.signal })
  await expect(run).rejects.toMatchObject({ code: 'run/interrupted' })
  expect(leftovers(home).filter((name) => name.startsWith('_'))).toEqual([])
  expect(await home.run({ columns: COLUMNS, set: ROOM }, {}, { threads })).toMatchObject({
    status: 'done',
    rows: 24_000,
  })
})

test('an outage of the service in the middle reaches the run with its code', { timeout: 60_000 }, async () => {
  const home = await lake()
  await inputs(home, 4)
  const { PseudolakeError } = await import('../../lib/core/errors.ts')
  const service = through((_request, values, call) => {
    if (call === 2) throw new PseudolakeError('service/unavailable', 'no answer')
    return values
  })
  const run = home.run({ columns: COLUMNS, set: ROOM }, {}, { threads, service })
  await expect(run).rejects.toMatchObject({ code: 'service/unavailable', context: { outcome: 'nothing-published' } })
})

describe('row groups of one file', () => {
  const groups = { most: 2, leastBytes: 1e12, leastFileBytes: 0 }

  async function oneFile(home: Lake, rows = 40_000): Promise<void> {
    mkdirSync(join(home.dir, 'in'), { recursive: true })
    await home.sql(
      `copy (select 'VEHICLE' || (i % 700) as vin, 'owner' || (i % 90) as owner, 'note' || i as note,
                    case when i % 7 = 0 then null else i % 50 end as small, i as n from range(${rows}) r(i))
       to '{dir}/in/one.parquet' (format parquet, row_group_size 2048)`,
    )
  }

  const dataFile = (home: Lake) => {
    const [name] = readdirSync(join(home.table, 'data')).filter((file) => file.endsWith('.parquet'))
    return readFileSync(join(home.table, 'data', name ?? ''))
  }

  test('come out in their order, byte by byte as one thread makes them', { timeout: 60_000 }, async () => {
    const home = await lake()
    await oneFile(home)
    const columns = { vin: COLUMNS.vin, small: { mode: 'deterministic' }, owner: { mode: 'drop' } }
    const report = await home.run({ columns, set: ROOM }, {}, { threads: groups })
    expect(report).toMatchObject({ status: 'done', rows: 40_000, files: 1, distinct: 750, gate: { passed: true } })
    const made = dataFile(home)
    rmSync(home.table, { recursive: true })
    await home.run({ columns })
    expect(made.equals(dataFile(home))).toBe(true)
  })

  test('random cells and partitions too: each cell has its own, a folder’s value has one', {
    timeout: 60_000,
  }, async () => {
    const home = await lake()
    await oneFile(home, 10_000)
    mkdirSync(join(home.dir, 'hive', 'region=north'), { recursive: true })
    renameSync(join(home.dir, 'in', 'one.parquet'), join(home.dir, 'hive', 'region=north', 'one.parquet'))
    const columns = { owner: COLUMNS.owner, region: { mode: 'random' } }
    const job = { input: '{dir}/hive', columns, set: ['input.partitioning=hive', ...ROOM] }
    const report = await home.run(job, {}, { threads: groups })
    expect(report).toMatchObject({ status: 'done', gate: { passed: true } })
    const rows = await home.query('select n, s_owner, s_region from t order by n')
    expect(new Set(rows.map(([, owner]) => owner)).size).toBe(10_000)
    expect(new Set(rows.map(([, , region]) => region)).size).toBe(1)
    expect((await home.back(rows.map(([, owner]) => owner))).slice(0, 3)).toEqual(['owner0', 'owner1', 'owner2'])
  })

  test('one that cannot be read fails the run, and nothing is left', { timeout: 60_000 }, async () => {
    const home = await lake()
    await oneFile(home)
    const path = join(home.dir, 'in', 'one.parquet')
    const bytes = readFileSync(path)
    bytes.fill(0xff, bytes.length >> 1, (bytes.length >> 1) + 3000)
    writeFileSync(path, bytes)
    const columns = { vin: COLUMNS.vin, note: { mode: 'deterministic' }, owner: { mode: 'deterministic' } }
    await expect(home.run({ columns, set: ROOM }, {}, { threads: groups })).rejects.toMatchObject({
      code: 'input/corrupt',
    })
    expect(leftovers(home)).toEqual([])
  })

  test('a run that is told to stop stops', { timeout: 60_000 }, async () => {
    const home = await lake()
    await oneFile(home)
    const stop = new AbortController()
    const service = through((_request, values, call) => {
      if (call === 4) stop.abort(new Error('SIGINT'))
      return values
    })
    const run = home.run(
      { columns: { note: { mode: 'deterministic' } }, set: ROOM },
      {},
      { threads: groups, service, signal: stop.signal },
    )
    await expect(run).rejects.toMatchObject({ code: 'run/interrupted' })
    expect(leftovers(home)).toEqual([])
  })
})

test('there are as many threads as memory has room for: two by default where values come again, one where most are new', async () => {
  const gate = { full: false, max_match_ratio: 0.01, reidentify: false }
  const atOnce = async (
    memory_mb: number,
    values: readonly number[],
    asked?: number,
    mode = 'deterministic',
    storage: object = {},
  ) => {
    const limits = { memory_mb, threads: asked, max_identifiers: 900 }
    const job = { settings: { limits, gate }, columns: [{ name: 'a', mode }] }
    const runner = new Runner({
      job,
      storage,
      threads: { most: 4, leastBytes: 0 },
      client: {},
      seed: 1,
      signal: new AbortController().signal,
    } as unknown as RunnerOptions)
    const inputs = Array.from({ length: 9 }, () => ({ object: { bytes: 1 } })) as unknown as InputFile[]
    try {
      let threads = 0
      for (const count of values) threads = await runner.begin({ job } as unknown as StepWork, inputs, count)
      return threads
    } finally {
      await runner.close()
    }
  }
  expect(await atOnce(512, [10_000])).toBe(2)
  expect(await atOnce(479, [10_000])).toBe(1)
  expect(await atOnce(512, [50_001])).toBe(1)
  expect(await atOnce(512, [Number.POSITIVE_INFINITY])).toBe(1)
  // A step with many values takes memory back, one with as few as before keeps it.
  expect(await atOnce(512, [10_000, 20_000])).toBe(2)
  expect(await atOnce(512, [10_000, 9_000_000])).toBe(1)
  expect(await atOnce(1024, [10_000, 9_000_000])).toBe(2)
  expect(await atOnce(512, [10], undefined, 'random')).toBe(1)
  expect(await atOnce(768, [9_000_000])).toBe(2)
  expect(await atOnce(4096, [9_000_000])).toBe(4)
  expect(await atOnce(4096, [10], 3)).toBe(3)
  expect(await atOnce(4096, [10], 1)).toBe(1)
  // What is under way from and to a bucket takes memory of each thread.
  const bucket = { reads: () => ({}) }
  expect(await atOnce(512, [10_000], undefined, undefined, bucket)).toBe(1)
  expect(await atOnce(640, [10_000], undefined, undefined, bucket)).toBe(2)
})

test('where footers had promised fewer values than there are, one thread works on', async () => {
  const threads = new Threads({
    threads: 2,
    values: 100,
    seed: 1,
    share: 1,
    client: { call: () => Promise.reject(new Error('not asked')) },
    signal: new AbortController().signal,
  })
  try {
    const [first, second] = threads.all as [Thread, Thread]
    first.asked = 150
    second.asked = 50
    expect(threads.working).toEqual([first, second])
    second.asked = 51
    expect(threads.working).toEqual([first])
  } finally {
    await threads.close()
  }
})
