import { csvHeader, csvLines } from './csv.ts'
import { parquetEncoder, ROW_GROUP_ROWS } from './parquet.ts'
import type { Batch } from './rows.ts'
import { type Column, digits, timestamps } from './text.ts'

/** One file in the making: the bytes that the calls return, in order. */
export interface FileEncoder {
  /** Rows of a batch; the last one may have fewer. */
  readonly batchRows: number
  begin(): Uint8Array
  batch(batch: Batch): Uint8Array
  end(): Uint8Array
}

const NAMES = ['dept_id', 'vin', 'example_ts']

export function fileEncoder(format: 'parquet' | 'csv'): FileEncoder {
  const time = timestamps()
  const columns = (batch: Batch): Column[] => [
    { name: 'dept_id', text: digits, values: batch.dept },
    { name: 'vin', text: digits, values: batch.vin },
    { name: 'example_ts', text: time, values: batch.ts },
  ]
  if (format === 'csv')
    return {
      batchRows: ROW_GROUP_ROWS,
      begin: () => csvHeader(NAMES),
      batch: (batch) => csvLines(columns(batch), batch.rows),
      end: () => new Uint8Array(0),
    }
  const parquet = parquetEncoder(NAMES)
  return {
    batchRows: ROW_GROUP_ROWS,
    begin: parquet.begin,
    batch: (batch) => parquet.rowGroup(columns(batch), batch.rows),
    end: parquet.end,
  }
}
