/** What a stream has left in and beside its table, and everything of it that can be untrue. */
import { appendFileSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseJson, stringifyJson } from '../../../lib/core/json.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { makeStreamMark, markText, readStreamMark, type StreamMark } from '../../../pipelines/stream/mark.ts'
import { resetPositions } from '../../../pipelines/stream/positions.ts'
import { openQuarantine, purge } from '../../../pipelines/stream/quarantine/contents.ts'
import { digestOf } from '../../../pipelines/stream/quarantine/list.ts'
import { replay } from '../../../pipelines/stream/quarantine/replay.ts'
import { x25519Opener } from '../../../pipelines/stream/quarantine/x25519.ts'
import type { FindingKind } from '../../../pipelines/verify/findings.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { placesOf } from '../stream/places.ts'
import { recipient, type Stage, stage } from '../stream/stage.ts'
import { type EditableMetadata, editMetadata } from './damage.ts'
import { kinds, PLANTED, verified } from './made.ts'

const PROPERTY = 'pseudolake.stream.test'

interface Made {
  readonly on: Stage
  readonly settings: { readonly quarantine: { readonly path: string } } & Readonly<Record<string, unknown>>
  readonly pem: string
}

/** Three runs of one job over two shards: bad records in two of them, keys that were seen. */
async function made(): Promise<Made> {
  const on = await stage(2)
  const { publicKey, pem } = recipient()
  const settings = {
    schema: { vin: 'string', n: 'long' },
    dedupe: { keys: ['n'], window: '1h' },
    quarantine: { path: join(on.dir, 'quarantine'), recipient: publicKey },
  }
  for (const run of [1, 2, 3]) {
    const good = Array.from({ length: 20 }, (_, i) => ({ vin: `${PLANTED}-${i}`, n: 100 * run + i }))
    const wrong = `{"vin": "x", "n": "${PLANTED}"}`
    await on.put([...good, ...([[], ['no JSON', 'none'], [], [wrong, wrong]][run] ?? [])])
    await on.run(settings)
  }
  return { on, settings, pem }
}

function below(dir: string, pattern: RegExp): string {
  const found = readdirSync(dir, { recursive: true, encoding: 'utf8' }).toSorted()
  return join(dir, found.find((name) => pattern.test(name)) ?? 'none')
}

/** The metadata files of a table, the oldest first. */
function versions(table: string): string[] {
  const folder = join(table, 'metadata')
  const number = (name: string) => Number(/\d+/.exec(name)?.[0])
  return readdirSync(folder)
    .filter((name) => /\.metadata\.json$/.test(name))
    .sort((a, b) => number(a) - number(b))
    .map((name) => join(folder, name))
}

/** Makes a mark another one, whole by itself, in metadata and in the summary of its snapshot. */
function remark(
  metadata: EditableMetadata,
  change: (mark: StreamMark) => Partial<StreamMark>,
  summaryToo = true,
): void {
  const mark = readStreamMark(metadata.properties, 'test') as StreamMark
  const { epoch, run, digest: _, ...state } = { ...mark, ...change(mark) }
  const changed = makeStreamMark(epoch, run, state)
  metadata.properties[PROPERTY] = markText(changed)
  if (!summaryToo) return
  for (const { summary } of metadata.snapshots)
    if (summary['pseudolake.digest'] === mark.digest)
      Object.assign(summary, { 'pseudolake.digest': changed.digest, 'pseudolake.epoch': String(epoch) })
}

function editFile(file: string, edit: (metadata: EditableMetadata) => void): void {
  const json = parseJson(readFileSync(file, 'utf8')) as unknown as EditableMetadata
  edit(json)
  writeFileSync(file, stringifyJson(json as never))
}

/** A list of the quarantine that says something else, and a mark that names it as it is now. */
async function relist(
  { on, settings }: Made,
  edit: (list: { objects: Record<string, unknown>[] }) => void,
): Promise<void> {
  await editMetadata(on.table, (metadata) =>
    remark(metadata, ({ quarantine }) => {
      const { location, records } = quarantine as NonNullable<StreamMark['quarantine']>
      expect(location.startsWith(settings.quarantine.path)).toBe(true)
      const list = JSON.parse(readFileSync(location, 'utf8'))
      edit(list)
      writeFileSync(location, JSON.stringify(list))
      return { quarantine: { location, records, sha256: digestOf(readFileSync(location)) } }
    }),
  )
}

const back = (mark: StreamMark) => ({
  positions: {
    ...mark.positions,
    shards: new Map([...mark.positions.shards].map(([id, { since }]) => [id, { at: 'TRIM_HORIZON' as const, since }])),
  },
})

type Planted = readonly [kind: FindingKind, what: string, plant: (home: Made) => unknown, says: RegExp]

const PLANTED_DAMAGE: readonly Planted[] = [
  [
    'mark',
    'positions were edited by hand',
    ({ on }) =>
      editMetadata(on.table, ({ properties }) => {
        properties[PROPERTY] = (properties[PROPERTY] as string).replace(/"sub":0/, '"sub":7')
      }),
    /its digest is not that of what it says/,
  ],
  [
    'mark',
    'the snapshot was committed with other positions',
    ({ on }) =>
      editMetadata(on.table, (metadata) =>
        remark(metadata, ({ quarantine }) => ({ quarantine, fields: undefined }), false),
      ),
    /was committed with other positions/,
  ],
  [
    'mark',
    'the mark is no mark',
    ({ on }) =>
      editMetadata(on.table, ({ properties }) => {
        properties[PROPERTY] = '{"version":9}'
      }),
    /is not a mark that this version reads/,
  ],
  [
    'rolled-back',
    'the table was rolled back behind the mark',
    ({ on }) =>
      editMetadata(on.table, (metadata) => {
        const id = metadata.snapshots[1]?.['snapshot-id']
        Object.assign(metadata, { 'current-snapshot-id': id, refs: { main: { 'snapshot-id': id, type: 'branch' } } })
      }),
    /rolled back behind epoch/,
  ],
  [
    'positions',
    'an epoch went back from one metadata file to the next',
    ({ on }) => editFile(versions(on.table).at(-3) as string, (metadata) => remark(metadata, () => ({ epoch: 40 }))),
    /went from epoch 40 back to/,
  ],
  [
    'positions',
    'a snapshot is of an epoch that a later one has too',
    ({ on }) =>
      editMetadata(on.table, ({ snapshots }) => {
        Object.assign(snapshots[1]?.summary ?? {}, { 'pseudolake.epoch': snapshots[2]?.summary['pseudolake.epoch'] })
      }),
    /two consumers have written side by side/,
  ],
  [
    'positions',
    'positions went back with the last commit',
    ({ on }) => editMetadata(on.table, (metadata) => remark(metadata, back)),
    /shardId-\d+: its position went back between epochs/,
  ],
  [
    'positions',
    'a shard was forgotten before its end',
    ({ on }) =>
      editMetadata(on.table, (metadata) =>
        remark(metadata, ({ positions }) => ({
          positions: { ...positions, shards: new Map([...positions.shards].slice(1)) },
        })),
      ),
    /shardId-000000000000: it is gone before its end/,
  ],
  [
    'positions',
    'a mark was changed between two commits',
    ({ on }) =>
      editFile(versions(on.table).at(-2) as string, (metadata) => {
        const files = versions(on.table)
        const next = parseJson(readFileSync(files.at(-1) as string, 'utf8')) as unknown as EditableMetadata
        const { epoch } = readStreamMark(next.properties, 'test') as StreamMark
        remark(metadata, () => ({ epoch }))
      }),
    /was changed without a commit/,
  ],
  [
    'positions',
    'the stream is another one',
    ({ on }) =>
      editMetadata(on.table, (metadata) =>
        remark(metadata, ({ positions }) => ({
          positions: { ...positions, stream: { ...positions.stream, createdMs: 1 } },
        })),
      ),
    /is of another stream/,
  ],
  [
    'quarantine',
    'a sealed object is gone',
    ({ settings }) => unlinkSync(below(settings.quarantine.path, /\.sealed$/)),
    /no purge says why/,
  ],
  [
    'quarantine',
    'a sealed object is longer',
    ({ settings }) => appendFileSync(below(settings.quarantine.path, /\.sealed$/), 'x'),
    /bytes, and its list says/,
  ],
  [
    'quarantine',
    'a byte of a sealed object is another one',
    ({ settings }) => {
      const file = below(settings.quarantine.path, /\.sealed$/)
      const bytes = readFileSync(file)
      bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
      writeFileSync(file, bytes)
    },
    /not those that were sealed/,
  ],
  [
    'quarantine',
    'an object is of another range than its list says',
    (home) => relist(home, ({ objects }) => Object.assign(objects[0] ?? {}, { first: '1' })),
    /its first is not what its list says/,
  ],
  [
    'quarantine',
    'reasons and records of an object are not as many',
    (home) => relist(home, ({ objects }) => Object.assign(objects[0] ?? {}, { reasons: { 'not-json': 99 } })),
    /99 records have a reason/,
  ],
  [
    'quarantine',
    'an object is listed twice',
    (home) => relist(home, ({ objects }) => objects.push(objects[0] ?? {})),
    /listed twice/,
  ],
  [
    'quarantine',
    'the mark counts other records than the lists',
    ({ on }) =>
      editMetadata(on.table, (metadata) =>
        remark(metadata, ({ quarantine }) => ({
          quarantine: { ...(quarantine as NonNullable<typeof quarantine>), records: 5 },
        })),
      ),
    /the lists have 4 records, and the mark says 5/,
  ],
  [
    'quarantine',
    'the first list is gone',
    ({ settings }) => unlinkSync(below(settings.quarantine.path, /lists\/.*\.json$/)),
    /is gone/,
  ],
  [
    'quarantine',
    'a list was changed',
    ({ settings }) => {
      const list = below(settings.quarantine.path, /lists\/.*\.json$/)
      writeFileSync(list, readFileSync(list, 'utf8').replace(/"depth":\d+/, '"depth":9'))
    },
    /not the list that the mark names/,
  ],
  ['seen-keys', 'keys that were seen are gone', ({ on }) => unlinkSync(below(on.dir, /\.keys$/)), /are gone/],
  [
    'seen-keys',
    'keys that were seen are others',
    ({ on }) => appendFileSync(below(on.dir, /\.keys$/), Buffer.alloc(24)),
    /not the file that the mark names/,
  ],
]

const COMES_WITH: Partial<Record<string, readonly FindingKind[]>> = {
  'a snapshot is of an epoch that a later one has too': ['mark', 'rolled-back'],
  'the snapshot was committed with other positions': ['positions'],
  'the mark is no mark': [],
  'an object is listed twice': [],
}

test('a stream’s table verifies clean, with what was replayed, purged and reset; nothing is opened for it', async () => {
  const { on, settings, pem } = await made()
  const report = await verified(on.table)
  expect(report.findings).toEqual([])
  expect(report).toMatchObject({
    status: 'clean',
    streams: [{ job: 'test', epoch: 6, shards: 2, ended: 0, marks: 6, quarantined: 4, replayed: 0, purged: 0 }],
  })
  const { job, places } = placesOf(on, settings)
  // One object is replayed without the field that is at fault, another one purged.
  const dropping = placesOf(on, { ...settings, columns: { vin: { mode: 'deterministic' }, n: { mode: 'drop' } } })
  const outside = { opener: x25519Opener(pem), runId: 'replay-1', createdBy: 'test', command: 'c', resetCommand: 'r' }
  const { objects } = await openQuarantine(job, places)
  const wrong = objects.filter(({ reasons }) => 'wrong-type' in reasons)
  const names = wrong.map(({ name }) => name)
  expect(await replay(dropping.job, names, dropping.places, outside)).toMatchObject({ objects: names.length, rows: 2 })
  const rest = objects.filter(({ name }) => !names.includes(name)).slice(0, 1)
  expect(await purge(localStorage(), rest, { reason: 'r', wallMs: 0 })).toBe(1)
  await resetPositions(job, places, 's', { to: 'TRIM_HORIZON', reason: 'once more', runId: 'reset-1' })
  const after = await verified(on.table)
  expect(after.findings).toEqual([])
  expect(after).toMatchObject({
    status: 'clean',
    streams: [{ epoch: 7, quarantined: 4, purged: 1, replayed: names.length }],
  })
}, 30_000)

test.for(PLANTED_DAMAGE)('%s: %s', { timeout: 30_000 }, async ([kind, what, plant, says]) => {
  const home = await made()
  await plant(home)
  const report = await verified(home.on.table)
  expect(report.status).toBe('needs-a-look')
  const found = report.findings.filter((finding) => finding.kind === kind)
  expect(found.map(({ message }) => message).join('\n')).toMatch(says)
  const others = Object.keys(report.counts).filter((each) => each !== kind)
  for (const other of others) expect(COMES_WITH[what] ?? [], what).toContain(other)
  expect(JSON.stringify(report)).not.toContain(PLANTED)
})

test('a rolled-back replay is found: its object counts as replayed, and its rows are gone', async () => {
  const { on, settings, pem } = await made()
  const dropping = placesOf(on, { ...settings, columns: { vin: { mode: 'deterministic' }, n: { mode: 'drop' } } })
  const { objects } = await openQuarantine(dropping.job, dropping.places)
  const outside = { opener: x25519Opener(pem), runId: 'replay-1', createdBy: 'test', command: 'c', resetCommand: 'r' }
  const before = versions(on.table).length
  for (const { name, reasons } of objects)
    if ('wrong-type' in reasons)
      await replay(dropping.job, [name], dropping.places, { ...outside, runId: `r-${name.slice(-8)}` })
  expect(versions(on.table).length).toBeGreaterThan(before)
  expect(await kinds(on.table)).toEqual([])
  await editMetadata(on.table, (metadata) => {
    const id = metadata.snapshots.at(before - versions(on.table).length - 1)?.['snapshot-id']
    Object.assign(metadata, { 'current-snapshot-id': id, refs: { main: { 'snapshot-id': id, type: 'branch' } } })
  })
  const report = await verified(on.table)
  expect(report.findings).toContainEqual(
    expect.objectContaining({ kind: 'rolled-back', location: 'pseudolake.replay.test' }),
  )
}, 30_000)

test('the command says it to people and to scripts', async () => {
  const { on, settings } = await made()
  const clean = await pseudolake(['table', 'verify', on.table])
  expect(clean.code).toBe(0)
  expect(clean.stdout).toMatch(
    /stream test: epoch 6, 2 shards, 0 of them at their ends, 6 marks in its history; 4 records were sealed in \d objects/,
  )
  unlinkSync(below(settings.quarantine.path, /\.sealed$/))
  const { code, stdout } = await pseudolake(['table', 'verify', on.table, '--json'])
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    status: 'needs-a-look',
    counts: { quarantine: 1 },
    streams: [{ job: 'test' }],
  })
}, 30_000)
