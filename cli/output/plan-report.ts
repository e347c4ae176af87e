/** The file of `--report`: tried before the run, written after it. */
import { access, constants, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { ReportFailure } from '../../pipelines/batch/html/page.ts'
import { type BatchJob, placeOf } from '../../pipelines/batch/job.ts'
import { fixedPart } from '../../pipelines/batch/overlap.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'

export interface ReportFile {
  /** @returns what a person should know where it could not be written: the run itself is over by then */
  write(report: BatchReport, failure?: ReportFailure): Promise<string | undefined>
}

/**
 * @param path absolute
 * @throws PseudolakeError `options/invalid` where no file could be written, or the next run would read it as an input
 */
export async function reportFile(path: string, job: BatchJob): Promise<ReportFile> {
  const input = fixedPart(job.input)
  const output = placeOf(job)
  const folders = [input.endsWith('/') ? input : `${input}/`, ...(output === undefined ? [] : [`${output}/`])]
  const inside = folders.find((folder) => path === job.input || path.startsWith(folder))
  if (inside !== undefined) throw invalid(`${path} lies inside ${inside}, where data is`)
  const folder = dirname(path)
  await access(folder, constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`no file can be written to ${folder} (${error.code ?? 'unknown'})`)
  })
  if (
    await stat(path).then(
      (found) => !found.isFile(),
      () => false,
    )
  )
    throw invalid(`${path} is no file`)
  return {
    async write(report, failure) {
      // Loaded when there is something to draw.
      const { reportPage } = await import('../../pipelines/batch/html/page.ts')
      try {
        await writeFile(path, await reportPage(report, failure))
        return undefined
      } catch (error) {
        const errno = (error as NodeJS.ErrnoException).code
        if (errno === undefined) throw error
        return `the report could not be written to ${path} (${errno}); the run itself is not affected`
      }
    },
  }
}

function invalid(problem: string): PseudolakeError {
  return new PseudolakeError('options/invalid', `--report: ${problem}`, { option: 'report' })
}
