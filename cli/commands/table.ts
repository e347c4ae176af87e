import { currentSchema, currentSnapshot, type Snapshot, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { typeText } from '../../lib/iceberg/types.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Arguments, Command, Io } from '../command.ts'
import { bytes, count, table } from '../output/text.ts'
import { type OpenedTable, TABLE_LOCATION, TABLE_OPTIONS, withTables } from '../tables.ts'

const LOCATION = [
  {
    name: 'LOCATION',
    required: true,
    summary: TABLE_LOCATION,
  },
]

export const tableShow: Command = {
  name: 'table show',
  summary: 'What an Iceberg table is now: size, columns, properties',
  positionals: LOCATION,
  options: TABLE_OPTIONS,
  examples: [
    ['pseudolake table show /lake/warehouse/db/pseudo_table', 'the table as it is now'],
    [
      'pseudolake table show /lake/warehouse/db/pseudo_table/metadata/v3.metadata.json --json',
      'as it was at version 3',
    ],
    ['pseudolake table show rest:db.pseudo_table --config job.yaml', 'of a table in the job’s REST catalog'],
  ],
  async run(args, io) {
    const { state, size } = await withTable(args, io, async ({ storage, state }) => ({
      state,
      size: await sizeOf(storage, state.metadata),
    }))
    const { metadata, metadataLocation } = state
    const schema = currentSchema(metadata).fields.map(({ id, name, type, required, doc }) => ({
      id,
      name,
      type: typeText(type),
      required,
      ...(doc === undefined ? {} : { doc }),
    }))
    const json = {
      location: metadata.location,
      metadata_location: metadataLocation,
      format_version: metadata['format-version'],
      uuid: metadata['table-uuid'],
      snapshot_id: metadata['current-snapshot-id']?.toString() ?? null,
      updated: new Date(metadata['last-updated-ms']).toISOString(),
      rows: size.rows,
      files: size.files,
      bytes: size.bytes,
      delete_files: size.deleteFiles,
      schema,
      properties: metadata.properties,
    }
    const facts: [string, string][] = [
      ['location', json.location],
      ['metadata', json.metadata_location],
      ['format version', String(json.format_version)],
      ['snapshot', json.snapshot_id ?? 'none'],
      ['updated', json.updated],
      ['rows', `${count(size.rows)}${size.deleteFiles > 0 ? ' (rows marked as deleted included)' : ''}`],
      ['files', `${count(size.files)}, ${bytes(size.bytes)}`],
      ...(size.deleteFiles > 0 ? [['delete files', count(size.deleteFiles)] as [string, string]] : []),
    ]
    const width = Math.max(...facts.map(([name]) => name.length))
    const columns = table(
      ['id', 'column', 'type', 'required'],
      schema.map(({ id, name, type, required }) => [id, name, type, required ? 'yes' : 'no']),
    )
    const properties = Object.entries(metadata.properties).sort(([a], [b]) => (a < b ? -1 : 1))
    return {
      exit: 0,
      json,
      text: [
        facts.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join(''),
        columns,
        ...(properties.length > 0 ? [table(['property', 'value'], properties)] : []),
      ].join('\n'),
    }
  },
}

export const tableHistory: Command = {
  name: 'table history',
  summary: 'The snapshots of an Iceberg table, oldest first',
  positionals: LOCATION,
  options: TABLE_OPTIONS,
  examples: [
    ['pseudolake table history /lake/warehouse/db/pseudo_table', 'who wrote what, and when'],
    ['pseudolake table history glue:db.pseudo_table', 'of a table in Glue, as the environment’s identity'],
  ],
  async run(args, io) {
    const { metadata } = await withTable(args, io, async ({ state }) => state)
    const current = ancestors(metadata)
    const snapshots = metadata.snapshots.map((snapshot) => {
      const { summary } = snapshot
      return {
        snapshot_id: snapshot['snapshot-id'].toString(),
        parent_snapshot_id: snapshot['parent-snapshot-id']?.toString() ?? null,
        sequence_number: snapshot['sequence-number'],
        time: new Date(snapshot['timestamp-ms']).toISOString(),
        operation: summary.operation ?? null,
        added_files: number(summary['added-data-files']) ?? 0,
        removed_files: number(summary['deleted-data-files']) ?? 0,
        added_rows: number(summary['added-records']) ?? 0,
        removed_rows: number(summary['deleted-records']) ?? 0,
        total_rows: number(summary['total-records']) ?? null,
        in_current_history: current.has(snapshot['snapshot-id']),
        summary,
      }
    })
    const rows = snapshots.map((each) => [
      each.snapshot_id,
      each.time,
      `${each.operation ?? '?'}${each.in_current_history ? '' : ' (not in the current history)'}`,
      change(each.added_files, each.removed_files),
      change(each.added_rows, each.removed_rows),
      each.total_rows === null ? '?' : count(each.total_rows),
    ])
    return {
      exit: 0,
      json: { location: metadata.location, snapshots },
      text:
        rows.length === 0
          ? 'no snapshots yet\n'
          : table(['snapshot', 'time', 'operation', 'files', 'rows', 'rows then'], rows),
    }
  },
}

export const tableFiles: Command = {
  name: 'table files',
  summary: 'The data files of an Iceberg table’s current snapshot',
  positionals: LOCATION,
  options: TABLE_OPTIONS,
  examples: [['pseudolake table files /lake/warehouse/db/pseudo_table --json', 'for scripts']],
  async run(args, io) {
    const { metadata, files } = await withTable(args, io, async ({ storage, state }) => ({
      metadata: state.metadata,
      files: await filesOf(storage, state.metadata),
    }))
    const prefix = `${metadata.location}/`
    const rows = files.map(({ path, rows, bytes: size, sequence_number, delete_files }) => [
      path.startsWith(prefix) ? path.slice(prefix.length) : path,
      rows,
      bytes(size),
      sequence_number,
      delete_files,
    ])
    return {
      exit: 0,
      json: { location: metadata.location, files },
      text: rows.length === 0 ? 'no files\n' : table(['file', 'rows', 'size', 'sequence', 'delete files'], rows),
    }
  },
}

function withTable<T>(args: Arguments, io: Io, use: (opened: OpenedTable) => Promise<T>): Promise<T> {
  return withTables(args, io, async (open) => use(await open(args.positionals[0] ?? '')))
}

async function filesOf(storage: Storage, metadata: TableMetadata) {
  const files: { path: string; rows: number; bytes: number; sequence_number: number; delete_files: number }[] = []
  for await (const { file, sequenceNumber, deletes } of planFiles(storage, metadata))
    files.push({
      path: file.path,
      rows: file.rows,
      bytes: file.bytes,
      sequence_number: sequenceNumber,
      delete_files: deletes.length,
    })
  return files
}

interface Size {
  readonly rows: number
  readonly files: number
  readonly bytes: number
  readonly deleteFiles: number
}

/** From the totals of the current snapshot; where its writer left one out, from the manifests. */
async function sizeOf(storage: Storage, metadata: TableMetadata): Promise<Size> {
  const summary = currentSnapshot(metadata)?.summary ?? {}
  const rows = number(summary['total-records'])
  const files = number(summary['total-data-files'])
  const size = number(summary['total-files-size'])
  const deleteFiles = number(summary['total-delete-files'])
  // The size in a summary counts delete files too, so with any of them it is not the data's.
  if (rows !== undefined && files !== undefined && size !== undefined && deleteFiles === 0)
    return { rows, files, bytes: size, deleteFiles }
  const counted = { rows: 0, files: 0, bytes: 0 }
  const deletes = new Set<string>()
  for await (const planned of planFiles(storage, metadata)) {
    counted.rows += planned.file.rows
    counted.files++
    counted.bytes += planned.file.bytes
    for (const { path } of planned.deletes) deletes.add(path)
  }
  return { ...counted, deleteFiles: deletes.size }
}

/** The current snapshot and those it came out of, as far as they are still there. */
function ancestors(metadata: TableMetadata): ReadonlySet<bigint> {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  const found = new Set<bigint>()
  let snapshot: Snapshot | undefined = currentSnapshot(metadata)
  while (snapshot && !found.has(snapshot['snapshot-id'])) {
    found.add(snapshot['snapshot-id'])
    const parent: bigint | undefined = snapshot['parent-snapshot-id']
    snapshot = parent === undefined ? undefined : byId.get(parent)
  }
  return found
}

function change(added: number, removed: number): string {
  if (removed === 0) return `+${count(added)}`
  return `+${count(added)} -${count(removed)}`
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
