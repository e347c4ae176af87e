/**
 * The plan of a run that was not planned first: from the footers of each step, which are opened before its first file is written anyway.
 * Nothing is read for it, and of a footer nothing is kept but sums.
 */
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { lookAtSample } from '../csv/sample.ts'
import type { InputFile } from '../inputs.ts'
import type { BatchJob } from '../job.ts'
import type { Shape } from '../shape.ts'
import type { Target } from '../target.ts'
import { lookAtFooter } from './guess.ts'
import type { Prices } from './prices.ts'
import { type PlanSums, Sums } from './sums.ts'

export class Outline {
  readonly #sums: Sums
  #before: Promise<unknown> = Promise.resolve()

  constructor(job: BatchJob, target: Target) {
    this.#sums = new Sums(job, target, lookAtSample(lookAtFooter), [])
  }

  /** Files may come at once, and are added one after the other. */
  add(file: ParquetFile, input: InputFile, shape: Shape): Promise<void> {
    const added = this.#before.then(() => this.#sums.add(file, input, shape))
    this.#before = added.catch(() => {})
    return added
  }

  /** Different values of the steps until now, as guessed. */
  get distinct(): number {
    return this.#sums.distinct
  }

  /** Of the steps until now. */
  plan(prices: Prices): PlanSums {
    return this.#sums.plan(prices, 'not-asked')
  }
}
