import type { CsvDialect } from '../../../lib/csv/dialect.ts'
import { MAGIC } from '../../../lib/parquet/footer.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { InputFile } from '../inputs.ts'
import type { BatchJob } from '../job.ts'

/** How an input is written, where it is CSV; undefined where it is Parquet. Looks into it only where the job takes both. */
export async function csvOf(
  { object }: InputFile,
  { csv, eitherFormat }: Pick<BatchJob, 'csv' | 'eitherFormat'>,
  storage: Storage,
): Promise<CsvDialect | undefined> {
  if (!csv || !eitherFormat) return csv
  const first = await storage.read(object.location, { start: 0, end: MAGIC.length, ifMatch: object.version })
  return MAGIC.equals(first) ? undefined : csv
}
