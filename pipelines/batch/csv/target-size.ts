/** Where a table does not say how large its data files are to be, as Iceberg has it. */
const DEFAULT_BYTES = 512 << 20
const PROPERTY = 'write.target-file-size-bytes'

/** Bytes after which a data file of an input that is cut gets no further row group. @param properties of the table */
export function targetFileBytes(properties: Readonly<Record<string, string>>): number {
  const given = Number(properties[PROPERTY])
  return Number.isSafeInteger(given) && given > 0 ? given : DEFAULT_BYTES
}
