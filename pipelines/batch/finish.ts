import { finishCsv } from './csv/file.ts'
import { csvOf } from './csv/format.ts'
import { finishParquet, type InputWork } from './file.ts'
import type { Finished } from './unpublished.ts'

/** Makes the data files of an input. @throws as `finishParquet`, `finishCsv` */
export async function finishInput(work: InputWork): Promise<Finished> {
  const csv = await csvOf(work.input, work.job, work.storage)
  return csv ? finishCsv(work, csv) : finishParquet(work)
}
