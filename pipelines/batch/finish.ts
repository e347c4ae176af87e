import { finishCsv } from './csv/file.ts'
import { finishParquet, type InputWork } from './file.ts'
import type { Finished } from './unpublished.ts'

/** Makes the data files of an input. @throws as `finishParquet`, `finishCsv` */
export function finishInput(work: InputWork): Promise<Finished> {
  return work.job.csv ? finishCsv(work, work.job.csv) : finishParquet(work)
}
