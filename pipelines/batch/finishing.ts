/** The data files of a step's inputs: those that an earlier run finished, and new ones, listed as soon as each is whole. */
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { gateCsvTakenOver } from './csv/again.ts'
import { csvOf } from './csv/format.ts'
import type { Gate } from './gate/gate.ts'
import { gateTakenOver } from './gate/open.ts'
import type { Pinned } from './identities.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import type { Runner } from './runner.ts'
import { StepProgress } from './step-progress.ts'
import type { Target } from './target.ts'
import type { Written } from './totals.ts'
import type { Finished, Unpublished } from './unpublished.ts'

/** What the files of one step have in common. */
export interface StepTable {
  readonly target: Target
  readonly schema: Schema
  readonly properties: Readonly<Record<string, string>>
  readonly pinned: readonly Pinned[]
  readonly unpublished: Unpublished
  readonly digest: string
}

export interface FinishingOutside {
  readonly storage: Storage
  readonly runId: string
  readonly createdBy: string
  readonly signal: AbortSignal
}

export class Finishing {
  /** Data files of earlier runs, of the step that is at work. */
  readonly foreign = new Set<string>()
  readonly #job: BatchJob
  readonly #outside: FinishingOutside
  readonly #gate: Gate
  readonly #onProgress: (done: StepProgress['all']) => void
  readonly #done = new StepProgress()
  #takenOver = 0

  /** @param onProgress called as the work goes on, with all that was done */
  constructor(job: BatchJob, outside: FinishingOutside, gate: Gate, onProgress: (done: StepProgress['all']) => void) {
    this.#job = job
    this.#outside = outside
    this.#gate = gate
    this.#onProgress = onProgress
  }

  /**
   * @param number of the input in the run, which names its file
   * @throws PseudolakeError `gate/failed`, `input/*`, `storage/*`, `service/*`
   */
  async finish(input: InputFile, number: number, table: StepTable, runner: Runner): Promise<Written> {
    const { unpublished, digest, schema, properties } = table
    this.#outside.signal.throwIfAborted()
    const taken = await unpublished.take(input, digest)
    if (taken) this.#takenOver++
    if (taken) await this.#lookAgain(input, taken, table)
    for (const { file } of taken?.files ?? []) this.foreign.add(file.location)
    const finished = taken ?? (await this.#rewrite(input, number, table, runner))
    if (!taken) await unpublished.add(input, digest, finished)
    const { rows, files } = finished
    this.#done.end(number, { rows, bytes: input.object.bytes })
    const modes = metricsModes(schema, properties)
    return { input, rows, files: files.map(({ file }) => dataFileFrom(file, schema, modes)) }
  }

  get notes(): readonly string[] {
    if (this.#takenOver === 0) return []
    const [noun, verb] = this.#takenOver === 1 ? ['file', 'was'] : ['files', 'were']
    return [`${this.#takenOver} ${noun} that an earlier run had finished and not published ${verb} taken over`]
  }

  async #lookAgain(input: InputFile, { files }: Finished, { target, schema, pinned }: StepTable): Promise<void> {
    const work = { ...this.#outside, job: this.#job, approved: target.approved, schema, pinned }
    const csv = await csvOf(input, this.#job, this.#outside.storage)
    if (csv) await gateCsvTakenOver(this.#gate, input, files, csv, work)
    else for (const { file } of files) await gateTakenOver(this.#gate, input, file.location, work)
  }

  #rewrite(input: InputFile, number: number, { target }: StepTable, runner: Runner): Promise<Finished> {
    const { folder, suffix } = target.making
    const output = `${folder}/${this.#outside.runId}-${String(number).padStart(5, '0')}.parquet${suffix}`
    return runner.run(input, output, (done) => {
      this.#done.update(number, done)
      this.#onProgress(this.#done.all)
    })
  }
}
