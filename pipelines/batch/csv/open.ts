/** A CSV file as the rest of a run sees files: columns of strings, and row groups that are made while it is read. */

import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { CsvDialect } from '../../../lib/csv/dialect.ts'
import { CsvReader } from '../../../lib/csv/reader.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { textLeaf } from '../../../lib/parquet/text-group.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { InputFile } from '../inputs.ts'
import { type CsvSource, csvSource } from './source.ts'

/** A file of which the header was read: without row groups, and how many rows there are nobody knows yet. */
export interface UnreadFile extends ParquetFile {
  readonly unread: true
}

export function isUnread(file: ParquetFile): file is UnreadFile {
  return 'unread' in file
}

export interface OpenCsv {
  readonly file: UnreadFile
  readonly reader: CsvReader
  readonly source: CsvSource
}

/**
 * Reads the header. Whoever opens it closes its reader.
 * @throws PseudolakeError `input/not-csv`, `input/corrupt`, `input/unsupported`, `input/value-invalid`, `input/mixed-schemas`, `storage/*`
 */
export async function openCsv(
  storage: Storage,
  { object }: InputFile,
  dialect: CsvDialect,
  signal: AbortSignal,
): Promise<OpenCsv> {
  const { location } = object
  const source = csvSource(storage, object, signal)
  const reader = await CsvReader.open(source.chunks, { dialect, location })
  const { names } = reader
  if (names === undefined) {
    await reader.close()
    throw new PseudolakeError('input/not-csv', `${location}: there is no record in it`, { location })
  }
  const leaves = names.map(textLeaf)
  return { file: { object, root: leaves, leaves, rows: 0, rowGroups: [], unread: true }, reader, source }
}

/** The columns of a CSV file alone. @throws as `openCsv` */
export async function csvColumns(
  storage: Storage,
  input: InputFile,
  dialect: CsvDialect,
  signal: AbortSignal,
): Promise<UnreadFile> {
  const { file, reader } = await openCsv(storage, input, dialect, signal)
  await reader.close()
  return file
}
