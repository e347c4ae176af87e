/** Ways to break a table just so: each leaves everything else as it was, sizes in manifests and lists included. */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseJson, stringifyJson } from '../../../lib/core/json.ts'
import { type ManifestEntry, manifestFileOf, readManifest, writeManifest } from '../../../lib/iceberg/manifest.ts'
import { readManifestList, writeManifestList } from '../../../lib/iceberg/manifest-list.ts'
import { currentSchema, currentSnapshot, defaultSpec } from '../../../lib/iceberg/metadata.ts'
import { openTable } from '../../../lib/iceberg/open.ts'
import { planFiles } from '../../../lib/iceberg/scan.ts'
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import { put, readStruct, struct, type ThriftField, type ThriftList, writeStruct } from '../../../lib/parquet/thrift.ts'
import { localStorage } from '../../../lib/storage/local.ts'

const storage = localStorage()

export type Fields = Map<number, ThriftField>

/** The paths of the current data files, in the order of their names. */
export async function dataFiles(table: string): Promise<string[]> {
  const { metadata } = await openTable(storage, table)
  const paths: string[] = []
  for await (const { file } of planFiles(storage, metadata)) paths.push(file.path)
  return paths.sort()
}

export interface EditableMetadata {
  readonly properties: Record<string, string>
  readonly snapshots: { readonly 'snapshot-id': number | bigint; readonly summary: Record<string, string> }[]
  readonly schemas: { 'schema-id': number; readonly fields: { name: string }[] }[]
}

/** Changes the newest metadata file in place. */
export async function editMetadata(table: string, edit: (metadata: EditableMetadata) => void): Promise<void> {
  const { metadataLocation } = await openTable(storage, table)
  const json = parseJson(readFileSync(metadataLocation, 'utf8')) as unknown as EditableMetadata
  edit(json)
  writeFileSync(metadataLocation, stringifyJson(json as never))
}

export function setProperty(table: string, name: string, value: string): Promise<void> {
  return editMetadata(table, ({ properties }) => Object.assign(properties, { [name]: value }))
}

/** Changes the entries of the current snapshot's manifests; the list then says what they hold. */
export async function editManifests(table: string, edit: (entries: ManifestEntry[]) => ManifestEntry[]): Promise<void> {
  const { metadata } = await openTable(storage, table)
  const snapshot = currentSnapshot(metadata)
  const list = snapshot?.['manifest-list'] as string
  const manifests = [...readManifestList(readFileSync(list), list)].map((manifest) => {
    const entries = edit([...readManifest(readFileSync(manifest.path), manifest)])
    const content = { schema: currentSchema(metadata), spec: defaultSpec(metadata), content: 'data', entries } as const
    const bytes = writeManifest(content)
    writeFileSync(manifest.path, bytes)
    const written = { path: manifest.path, bytes: bytes.length }
    return manifestFileOf(content, written, manifest.addedSnapshotId, manifest.sequenceNumber)
  })
  writeFileSync(
    list,
    writeManifestList({
      snapshotId: snapshot?.['snapshot-id'] as bigint,
      parentSnapshotId: snapshot?.['parent-snapshot-id'],
      sequenceNumber: snapshot?.['sequence-number'] as number,
      manifests,
    }),
  )
}

/** Changes what manifests say of data files. */
export function editEntries(table: string, edit: (file: ManifestEntry['file']) => object): Promise<void> {
  return editManifests(table, (entries) =>
    entries.map((entry) => ({ ...entry, file: { ...entry.file, ...edit(entry.file) } })),
  )
}

export interface Edit {
  /** Bytes put in at a place of the file. */
  readonly insert?: { readonly at: number; readonly bytes: Uint8Array; readonly remove?: number }
  /** Changes the metadata of column chunks (ColumnMetaData) and the chunks themselves. */
  readonly chunk?: (meta: Fields, chunk: Fields, column: string) => void
  readonly footer?: (footer: Fields) => void
}

/** Changes a data file, moves what the footer points at, and tells its manifest the new size. */
export async function editDataFile(table: string, path: string, { insert, chunk, footer }: Edit): Promise<void> {
  const bytes = readFileSync(path)
  const start = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
  const raw = readStruct(bytes.subarray(start, bytes.length - 8)).value as Fields
  const delta = insert ? insert.bytes.length - (insert.remove ?? 0) : 0
  for (const group of items(raw, 4))
    for (const each of items(group, 1)) {
      const meta = (each.get(3) as ThriftField).value as Fields
      if (insert) move(meta, insert.at, delta, insert.remove !== undefined)
      chunk?.(meta, each, nameOf(meta))
    }
  footer?.(raw)
  const body = insert
    ? [bytes.subarray(0, insert.at), insert.bytes, bytes.subarray(insert.at + (insert.remove ?? 0), start)]
    : [bytes.subarray(0, start)]
  const written = writeStruct(raw)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(written.length)
  const after = Buffer.concat([...body, written, length, Buffer.from('PAR1')])
  writeFileSync(path, after)
  await editEntries(table, (file) => (file.path === path ? { bytes: after.length } : {}))
}

/** Where a column's chunk of the first row group is. */
export async function chunkOf(path: string, column: string): Promise<ParquetFile['rowGroups'][0]['columns'][0]> {
  const file = await openParquet(storage, await storage.stat(path))
  const leaf = file.leaves.find((each) => each.path.join('.') === column)
  return file.rowGroups[0]?.columns[leaf?.column ?? -1] as ParquetFile['rowGroups'][0]['columns'][0]
}

/** A page header with more in it: what takes the place of the one at `at`. */
export function widenedHeader(path: string, at: number, edit: (header: Fields) => void) {
  const bytes = readFileSync(path)
  const { value, end } = readStruct(bytes.subarray(at))
  edit(value as Fields)
  return { at, remove: end, bytes: Buffer.from(writeStruct(value)) }
}

/** Statistics with a least and a greatest value. */
export const bounds = (value: string): ThriftField => put.struct({ 5: put.text(value), 6: put.text(value) })

export const keyValue = (key: string, value: string): ThriftField =>
  put.structs([struct({ 1: put.text(key), 2: put.text(value) })])

function items(of: Fields, id: number): Fields[] {
  return ((of.get(id) as ThriftField).value as ThriftList).items as unknown as Fields[]
}

function nameOf(meta: Fields): string {
  return ((meta.get(3) as ThriftField).value as ThriftList).items
    .map((part) => Buffer.from(part as Uint8Array).toString())
    .join('.')
}

/** A header that takes the place of another grows its own column; bytes that are put in belong to none. */
function move(meta: Fields, at: number, delta: number, replacing: boolean): void {
  const number = (id: number) => Number(meta.get(id)?.value ?? 0)
  const start = number(11) || number(9)
  if (replacing && at >= start && at < start + number(7)) meta.set(7, put.i64(number(7) + delta))
  for (const id of [9, 11])
    if (number(id) > at || (!replacing && number(id) === at)) meta.set(id, put.i64(number(id) + delta))
}
