/** Reads CSV as rows of texts: what the tests of the reader compare. */
import { type CsvDialect, DEFAULT_DIALECT } from '../../lib/csv/dialect.ts'
import { CsvReader } from '../../lib/csv/reader.ts'

export type Row = (string | null)[]

export interface Read {
  readonly names: readonly string[] | undefined
  readonly rows: Row[]
}

/** @param chunk bytes that come at a time */
export async function read(
  source: string | Uint8Array,
  dialect: Partial<CsvDialect> = {},
  chunk = Number.POSITIVE_INFINITY,
): Promise<Read> {
  const bytes = typeof source === 'string' ? Buffer.from(source) : source
  const reader = await CsvReader.open(chunks(bytes, chunk), {
    dialect: { ...DEFAULT_DIALECT, ...dialect },
    location: '/in/a.csv',
  })
  const rows: Row[] = []
  for await (const batch of reader.batches()) {
    const columns = batch.columns.map(({ plain, definition, present }) => {
      const view = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
      let at = 0
      const texts = [...definition].map((defined) => {
        if (defined === 0) return null
        const length = view.readUInt32LE(at)
        at += 4 + length
        return view.toString('utf8', at - length, at)
      })
      if (at !== plain.length || texts.filter((text) => text !== null).length !== present)
        throw new Error('a column whose counts are not those of its values')
      return texts
    })
    for (let i = 0; i < batch.rows; i++) rows.push(columns.map((column) => column[i] as string | null))
  }
  return { names: reader.names, rows }
}

function* chunks(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
