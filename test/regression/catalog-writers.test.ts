/** Writers in processes of their own upon one table in Glue, or in a REST catalog: at once with everything going wrong, and killed at every step of a commit. */

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { noAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { type GlueFake, type GlueFault, glueFake } from '../helpers/glue-fake.ts'
import { type RestFake, type RestFault, restFake } from '../helpers/rest-fake.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { SIMPLE, simpleFile } from '../iceberg/tables.ts'
import type { WriterJob } from './catalog-writer-run.ts'

const APPENDS = 100
const REST_APPENDS = 25
const FOUR_DAYS_MS = 4 * 24 * 3_600_000
const storage = localStorage()

test(`two writers of ${APPENDS} commits each, at once, while answers are lost, calls throttled and late: every row once, no live file gone`, {
  timeout: 240_000,
}, async () => {
  const { glue, warehouse } = await place()
  const seed = Number(process.env.PSEUDOLAKE_CRASH_SEED ?? Date.now() % 1_000_000)
  const random = randomFrom(seed)
  const faults: GlueFault[] = ['lost', 'lost-500', 'retried', 'late', 'reset', '500', 'throttled']
  for (const action of ['CreateTable', 'UpdateTable'])
    for (let i = 0; i < 4 * APPENDS; i++)
      glue.fault(action, random() < 0.3 ? (faults[Math.floor(random() * faults.length)] as GlueFault) : 'none')
  for (let i = 0; i < 20 * APPENDS; i++)
    glue.fault('GetTable', random() < 0.05 ? ((['500', 'reset', 'throttled'] as const)[i % 3] ?? 'none') : 'none')
  // What was held back arrives when it arrives.
  const arrivals = setInterval(() => glue.arrive(), 150)
  onTestFinished(() => clearInterval(arrivals))

  const writers = ['a', 'b'].map((name, i) =>
    writer({ glue: glue.url, warehouse, name, count: APPENDS, first: i * 1000 }),
  )
  const ended = await Promise.all(writers)
  glue.arrive()
  const where = `seed ${seed}`
  expect(
    ended.map(({ code, stderr }) => [code, stderr]),
    where,
  ).toEqual([
    [0, ''],
    [0, ''],
  ])
  const wanted = [0, 1000].flatMap((first) => Array.from({ length: APPENDS }, (_, i) => first + i))
  await whole(glueOver(glue, warehouse), wanted, where)
})

for (const existing of [false, true])
  test(`a writer killed before and after every call of its ${existing ? 'append' : 'first commit, which makes the table'}: the next one adds what is missing and nothing twice`, {
    timeout: 240_000,
  }, async () => {
    const start = async () => {
      const at = await place()
      if (existing) await already(glueOver(at.glue, at.warehouse))
      return at
    }
    const job = { name: 'a', count: 1, first: 0 }
    const unharmed = await start()
    const { stdout } = await writer({ glue: unharmed.glue.url, warehouse: unharmed.warehouse, ...job })
    const calls = Number(stdout)
    expect(calls).toBeGreaterThan(8)
    for (let call = 1; call <= calls; call++) {
      // Before a call is after the one before it.
      for (const when of call === 1 ? (['before', 'after'] as const) : (['after'] as const)) {
        const where = `killed ${when} call ${call} of ${calls}`
        const { glue, warehouse } = await start()
        const place = { glue: glue.url, warehouse }
        expect(await writer({ ...place, ...job, killAt: { call, when } }), where).toMatchObject({ signal: 'SIGKILL' })
        expect(await writer({ ...place, ...job }), where).toMatchObject({ code: 0, stderr: '' })
        await whole(glueOver(glue, warehouse), existing ? [0, 500] : [0], where)
      }
    }
  })

test('two writers into a REST catalog at once, while answers are lost and a proxy says 502: every row once', {
  timeout: 240_000,
}, async () => {
  const warehouse = folder()
  const rest = await restFake()
  const seed = Number(process.env.PSEUDOLAKE_CRASH_SEED ?? Date.now() % 1_000_000)
  const random = randomFrom(seed)
  const faults: RestFault[] = ['lost', 'lost-502', 'garbage', 'reset', '500', '503', '429']
  for (let i = 0; i < 4 * REST_APPENDS; i++)
    rest.fault(
      'POST',
      /tables\/t$/,
      random() < 0.3 ? (faults[Math.floor(random() * faults.length)] as RestFault) : 'none',
    )
  const ended = await Promise.all(
    ['a', 'b'].map((name, i) => writer({ rest: rest.uri, warehouse, name, count: REST_APPENDS, first: i * 1000 })),
  )
  const where = `seed ${seed}`
  expect(
    ended.map(({ code, stderr }) => [code, stderr]),
    where,
  ).toEqual([
    [0, ''],
    [0, ''],
  ])
  const wanted = [0, 1000].flatMap((first) => Array.from({ length: REST_APPENDS }, (_, i) => first + i))
  await whole(restOver(rest, warehouse), wanted, where)
})

test('a writer into a REST catalog killed after every call of its append: the next one adds what is missing and nothing twice', {
  timeout: 240_000,
}, async () => {
  const start = async () => {
    const at = { rest: await restFake(), warehouse: folder() }
    await already(restOver(at.rest, at.warehouse))
    return at
  }
  const job = { name: 'a', count: 1, first: 0 }
  const unharmed = await start()
  const { stdout } = await writer({ rest: unharmed.rest.uri, warehouse: unharmed.warehouse, ...job })
  const calls = Number(stdout)
  expect(calls).toBeGreaterThan(5)
  for (let call = 1; call <= calls; call++) {
    const where = `killed after call ${call} of ${calls}`
    const { rest, warehouse } = await start()
    const place = { rest: rest.uri, warehouse }
    expect(await writer({ ...place, ...job, killAt: { call, when: 'after' } }), where).toMatchObject({
      signal: 'SIGKILL',
    })
    expect(await writer({ ...place, ...job }), where).toMatchObject({ code: 0, stderr: '' })
    await whole(restOver(rest, warehouse), [0, 500], where)
  }
})

/** Every row once, every file there, and whatever nothing names is told by a verification, so that it can be removed. */
async function whole(catalog: Catalog, ids: readonly number[], where: string): Promise<void> {
  const state = await catalog.load({ database: 'db', name: 't' })
  const tables = new Map([['t', { state, storage }]])
  const rows = async () =>
    (await runQuery('select id from t order by id', { storage, tables, maxRows: 10_000 })).rows.map(([id]) =>
      Number(id),
    )
  expect(await rows(), where).toEqual(ids)
  const live = []
  for await (const { file } of planFiles(storage, state.metadata)) live.push(file.path)
  for (const path of live) expect(statSync(path).size, where).toBeGreaterThan(0)
  const report = await verifyTable(state, { storage, current: true, now: Date.now() + FOUR_DAYS_MS })
  const { orphan, ...others } = report.counts
  expect(others, where).toEqual({})
  // What is told is all that lies about: without it there is nothing that nothing names.
  for (const { kind, location } of report.findings) if (kind === 'orphan') await storage.delete(location)
  const again = await verifyTable(state, { storage, current: true, now: Date.now() + FOUR_DAYS_MS })
  expect(again.counts, where).toEqual({})
  expect(await rows(), where).toEqual(ids)
}

/** A table with one row before the writer comes. */
async function already(catalog: Catalog): Promise<void> {
  const table = { database: 'db', name: 't' }
  const files = [await simpleFile(storage, await catalog.newTableLocation(table), 'before', [500])]
  const options = { schema: SIMPLE, create: { properties: {} }, files, runId: 'before' }
  await appendFiles(catalog, table, options, { ...waitless(), uuid: randomUUID })
}

function glueOver(glue: GlueFake, warehouse: string): Catalog {
  return glueCatalog({ client: glue.client(), storage, warehouse, uuid: randomUUID, ...waitless() })
}

function restOver({ uri }: RestFake, warehouse: string): Catalog {
  return restCatalog({ uri, auth: noAuth(), storage, root: warehouse, ...waitless() })
}

function waitless() {
  return { clock: waitlessClock(), random: Math.random }
}

async function place(): Promise<{ glue: GlueFake; warehouse: string }> {
  return { glue: await glueFake(), warehouse: folder() }
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'pseudolake-writers-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function writer(job: WriterJob): Promise<Ended> {
  const script = resolve('test/regression/catalog-writer-run.ts')
  const child = spawn(process.execPath, [
    '--conditions=pseudolake-source',
    '--no-warnings',
    script,
    JSON.stringify(job),
  ])
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return new Promise((done) => child.on('close', (code, signal) => done({ code, signal, stdout, stderr })))
}

/** mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
