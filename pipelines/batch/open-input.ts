/** An input of either format, as far as one looks at it before it is read. */
import { openParquet, type ParquetFile } from '../../lib/parquet/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { csvOf } from './csv/format.ts'
import { csvColumns, isUnread } from './csv/open.ts'
import { sampleCsv } from './csv/sample.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import type { Shape } from './shape.ts'

/** What is read of a CSV file to tell what is in it: where its plan was asked for, and where it comes along with a run. */
export const CSV_SAMPLE_BYTES = { plan: 8 << 20, run: 256 << 10 } as const

interface Outside {
  readonly storage: Storage
  readonly signal: AbortSignal
}

/** Its footer, or its header. @throws PseudolakeError `input/*`, `storage/*` */
export async function openInput(input: InputFile, job: BatchJob, { storage, signal }: Outside): Promise<ParquetFile> {
  const csv = await csvOf(input, job, storage)
  return csv ? csvColumns(storage, input, csv, signal) : openParquet(storage, input.object, { signal })
}

/** The file with its row groups, which are guesses where it is CSV. @throws as `openInput` */
export async function withRowGroups(
  file: ParquetFile,
  input: InputFile,
  shape: Shape,
  job: BatchJob,
  outside: Outside & { readonly bytes: number },
): Promise<ParquetFile> {
  return job.csv && isUnread(file) ? sampleCsv(input, shape, { ...outside, job, dialect: job.csv }) : file
}
