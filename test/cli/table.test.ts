import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Arguments, Command, Io } from '../../cli/command.ts'
import { tableFiles, tableHistory, tableShow } from '../../cli/commands/table.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { SIMPLE, simpleFile } from '../iceberg/tables.ts'

const cwd = mkdtempSync(join(tmpdir(), 'pseudolake-cli-table-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))
const location = join(cwd, 'wh/db/t')
let ids: string[]

beforeAll(async () => {
  const storage = localStorage()
  const clock = waitlessClock()
  const catalog = filesystemCatalog({ storage, warehouse: join(cwd, 'wh'), clock })
  const context = { clock, random: () => 0, uuid: randomUUID }
  const table = { database: 'db', name: 't' }
  const options = { schema: SIMPLE, create: { properties: { owner: 'us' } }, runId: 'run' }
  const a = await simpleFile(storage, location, 'a', [1, 2, 3])
  const b = await simpleFile(storage, location, 'b', [4, 5])
  const first = await appendFiles(catalog, table, { ...options, files: [a] }, context)
  const second = await overwriteFiles(catalog, table, { ...options, files: [b], remove: [a.path] }, context)
  ids = [first, second].map(({ snapshotId }) => snapshotId.toString())
})

test('table show says what scripts rely on, the 64-bit snapshot id as a string', async () => {
  const { json, exit } = await run(tableShow, 'wh/db/t')
  expect(exit).toBe(0)
  expect(json).toMatchObject({
    location,
    format_version: 2,
    snapshot_id: ids[1],
    rows: 2,
    files: 1,
    bytes: expect.any(Number),
    delete_files: 0,
    schema: [
      { id: 1, name: 'id', type: 'long', required: false },
      { id: 2, name: 'name', type: 'string', required: false },
    ],
    properties: { owner: 'us' },
  })
})

test('a metadata file shows the table as it was then', async () => {
  const { json } = await run(tableShow, join(location, 'metadata/v1.metadata.json'))
  expect(json).toMatchObject({ snapshot_id: ids[0], rows: 3 })
})

test('table show is readable', async () => {
  const { text } = await run(tableShow, location)
  expect(text).toContain(`location        ${location}\n`)
  expect(text).toMatch(/rows +2\n/)
  expect(text).toMatch(/ 2 {2}name +string +no\n/)
  expect(text).toMatch(/owner +us\n/)
})

test('table history tells what each snapshot added and removed', async () => {
  const { json, text } = await run(tableHistory, location)
  expect(json).toMatchObject({
    snapshots: [
      { snapshot_id: ids[0], parent_snapshot_id: null, operation: 'append', added_rows: 3, in_current_history: true },
      { snapshot_id: ids[1], parent_snapshot_id: ids[0], operation: 'overwrite', removed_rows: 3, total_rows: 2 },
    ],
  })
  expect(text).toContain('+2 -3')
})

test('table files lists the live files only', async () => {
  const { json, text } = await run(tableFiles, location)
  expect(json).toEqual({
    location,
    files: [
      {
        path: `${location}/data/b.parquet`,
        rows: 2,
        bytes: expect.any(Number),
        sequence_number: 2,
        delete_files: 0,
      },
    ],
  })
  expect(text).toMatch(/^data\/b\.parquet +2 /m)
})

test('a place without a table is an error that names it', async () => {
  for (const place of ['nowhere', join(location, 'metadata/v9.metadata.json')])
    await expect(run(tableShow, place)).rejects.toMatchObject({ code: 'table/not-found' })
})

function run(command: Command, given: string) {
  const args: Arguments = {
    positionals: [given],
    string: () => undefined,
    strings: () => [],
    number: () => undefined,
    flag: () => false,
  }
  const io: Io = {
    env: {},
    cwd,
    json: true,
    quiet: true,
    tty: false,
    progress: () => undefined,
    clock: waitlessClock(),
    random: () => 0,
    signal: new AbortController().signal,
    out: () => undefined,
    note: () => undefined,
    lines: async function* () {},
  }
  return command.run(args, io)
}
