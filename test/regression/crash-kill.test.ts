/**
 * Processes that are killed (-9) at random moments, alone and two of one job at once. `make crash` (PSEUDOLAKE_CRASH=full) kills 300 of them;
 * PSEUDOLAKE_CRASH_SEED repeats the moments as far as the machine lets them repeat.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, test } from 'vitest'
import { openTable } from '../../lib/iceberg/open.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { type Ended, pseudolake, start } from '../helpers/cli.ts'
import { type Lake, lake } from '../helpers/lake.ts'

const full = process.env.PSEUDOLAKE_CRASH === 'full'
const KILLS = full ? 300 : 10
const FILES = 20
const ROWS = 500
/** Of one table, before it is finished and looked at. */
const KILLS_A_TABLE = full ? 10 : 5
const BATCH = ['batch', '--config', 'job.yaml', '--json']
/** How a runner may end that another one was faster than. */
const OVERTAKEN = ['table/mark-changed', 'table/changed', 'table/conflict']

test(`processes of a job, one or two at once, killed ${KILLS} times at random moments: the table comes out whole, nothing lost or doubled`, {
  timeout: full ? 3_600_000 : 240_000,
}, async () => {
  const seed = Number(process.env.PSEUDOLAKE_CRASH_SEED ?? Date.now() % 1_000_000)
  const random = randomFrom(seed)
  const home = await job()
  let kills = 0
  let overtaken = 0
  for (let table = 0; kills < KILLS; table++) {
    const runners = 1 + (table % 2)
    // Anew for each table: on a machine that others use a run may take a second now and ten then.
    anew(home)
    const whole = await elapsed(() => pseudolake(BATCH, { cwd: home.dir }))
    anew(home)
    let unharmed = false
    for (const before = kills; kills < KILLS && kills < before + KILLS_A_TABLE && !unharmed; ) {
      const running = Array.from({ length: runners }, () => start(BATCH, { cwd: home.dir }))
      const ended = Promise.all(running.map((each) => each.ended))
      await Promise.race([pause(random() * whole * runners), ended])
      // Of two, now and then one lives on.
      for (const { child } of running.filter((_, i) => i === 0 || random() < 0.5)) child.kill('SIGKILL')
      const ends = await ended
      kills += ends.filter(({ signal }) => signal === 'SIGKILL').length
      overtaken += ends.filter((end) => isOvertaken(end, seed)).length
      // With nothing left to do there is nothing to be struck at.
      unharmed = ends.some(({ code }) => code === 0)
    }
    await told(home, `seed ${seed}, table ${table}, after ${kills} kills`, async (where) => {
      expect(await pseudolake(BATCH, { cwd: home.dir }), where).toMatchObject({ code: 0 })
      await check(home, where)
    })
    if (full)
      console.log(`seed ${seed}: ${table + 1} tables, ${kills} kills, ${overtaken} runners overtaken by another`)
  }
})

function anew({ dir }: Lake): void {
  rmSync(join(dir, 'warehouse'), { recursive: true, force: true })
  rmSync(join(dir, 'in', 'afterwards.parquet'), { force: true })
}

async function job(): Promise<Lake> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (let i = 0; i < FILES; i++) put(home, `${i}.parquet`, i)
  writeFileSync(
    join(home.dir, 'job.yaml'),
    `job: nightly
input: { path: in }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output: { table: db.t, warehouse: warehouse }
commit: { max_files: 3 }
`,
  )
  return home
}

function put({ dir }: Lake, name: string, seed: number): void {
  const vins = Array.from({ length: ROWS }, (_, i) => `VIN${(seed * 7 + i) % 40}`)
  const numbers = Int32Array.from({ length: ROWS }, (_, i) => seed * ROWS + i)
  writeFileSync(
    join(dir, 'in', name),
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'vin', data: vins, type: 'STRING' },
          { name: 'n', data: numbers, type: 'INT32' },
        ],
      }),
    ),
  )
}

/** Says where a check failed; what the long form finds is rare, so its lake is kept to be looked at. */
async function told({ dir }: Lake, where: string, work: (where: string) => Promise<void>): Promise<void> {
  try {
    await work(where)
  } catch (error) {
    const kept = full ? mkdtempSync(join(tmpdir(), 'pseudolake-crash-')) : undefined
    if (kept !== undefined) cpSync(dir, kept, { recursive: true, preserveTimestamps: true })
    throw new Error(kept === undefined ? where : `${where}; the lake is kept in ${kept}`, { cause: error })
  }
}

/** Every row once, every file there once, and whatever nothing names is on the list of `table verify`; also after one more commit. */
async function check(home: Lake, where: string): Promise<void> {
  await checkTable(home, FILES, where)
  put(home, 'afterwards.parquet', FILES)
  const { code, stdout } = await pseudolake(BATCH, { cwd: home.dir })
  expect([code, JSON.parse(stdout)], where).toEqual([0, expect.objectContaining({ files: 1, skipped_files: FILES })])
  await checkTable(home, FILES + 1, where)
}

async function checkTable(home: Lake, inputs: number, where: string): Promise<void> {
  const rows = await home.query('select s_vin, n from t order by n')
  const vins = await home.back(rows.map(([vin]) => vin))
  const wanted = Array.from({ length: inputs * ROWS }, (_, i) => [
    `VIN${(Math.floor(i / ROWS) * 7 + (i % ROWS)) % 40}`,
    i,
  ])
  expect(
    rows.map(([, n], i) => [vins[i], Number(n)]),
    where,
  ).toEqual(wanted)
  const storage = localStorage()
  const state = await openTable(storage, home.table)
  const files: string[] = []
  for await (const { file } of planFiles(storage, state.metadata)) files.push(file.path)
  expect([files.length, new Set(files).size], where).toEqual([inputs, inputs])
  const { findings } = await verifyTable(state, { storage, now: Date.now() })
  expect(
    findings.filter(({ kind }) => kind !== 'orphan'),
    where,
  ).toEqual([])
  const known = new Set([...files, ...findings.map(({ location }) => location)])
  const lying = [...tree(join(home.table, 'data')), ...tree(join(home.dir, 'warehouse')).filter(isTemporary)]
  expect(
    lying.filter((path) => !known.has(path)),
    where,
  ).toEqual([])
}

function isTemporary(path: string): boolean {
  return path.includes('/_tmp-')
}

function tree(dir: string): string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? join(entry.parentPath, entry.name) : [],
  )
}

/** Whether another runner was faster; it was killed or is done otherwise, and nothing else. */
function isOvertaken({ code, signal, stdout, stderr }: Ended, seed: number): boolean {
  if (signal === 'SIGKILL' || code === 0) return false
  expect(OVERTAKEN, `seed ${seed}: ended with ${code}: ${stderr}`).toContain(JSON.parse(stdout).error?.code)
  return true
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}

/** Mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
