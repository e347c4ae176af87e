/** Who makes the data files of a step: this thread, one after the other; threads, a file each; or threads that share a file's row groups. */
import type { Client } from '../../lib/client/compose.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import type { InputWork, StepWork } from './file.ts'
import { finishInput } from './finish.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { type Replacers, replacersFor } from './replacer.ts'
import { SmallInputs } from './small-inputs.ts'
import type { FileThreads } from './threads/files.ts'
import type { GroupThreads } from './threads/groups.ts'
import type { Threads } from './threads/thread.ts'
import type { Finished } from './unpublished.ts'

/** Less is done before threads have paid for their start: a thread alone rewrites it in a second. */
const DEFAULT_LEAST_BYTES = 256 << 20
/** A file by itself: its writing and its gate stay in one thread. */
const DEFAULT_LEAST_FILE_BYTES = 256 << 20
/**
 * What two threads took of `limits.memory_mb`, each, and this one beside them. Where values come again and again that is what reads, writes and
 * looks up; where most are new, what is asked for and answered in all of them together is more, and costs more CPU than a thread alone.
 */
const THREAD_MB = { few: 160, many: 320 }
const OWN_MB = { few: 160, many: 128 }
/** What is under way of a thread's reads and writes beside, where answers are late: 40 MB of parts and 32 of what is read. */
const LATE_MB = 80
/** Different values of a run that are few. */
const FEW_VALUES = 50_000

/** Threads open their storages by themselves: what a caller wraps around one is not in them. */
export interface ThreadLimits {
  readonly most: number
  /** Bytes of a step for which threads are started. @default 256 MiB */
  readonly leastBytes?: number
  /** Bytes of a file whose row groups are made in threads. @default 256 MiB */
  readonly leastFileBytes?: number
}

export interface RunnerOptions extends Pick<InputWork, 'storage' | 'signal' | 'timings' | 'gate'> {
  readonly job: BatchJob
  readonly client: Client
  readonly threads: ThreadLimits | undefined
  readonly seed: number
}

export class Runner {
  readonly #options: RunnerOptions
  #step: StepWork | undefined
  #only: ParquetFile | undefined
  #threads: Threads | undefined
  #files: FileThreads | undefined
  #groups: GroupThreads | undefined
  #replacers: Replacers | undefined
  readonly #small: SmallInputs

  constructor(options: RunnerOptions) {
    this.#options = options
    this.#small = new SmallInputs(options.storage, options.signal)
  }

  /**
   * @param values different ones that the run will have asked for after the step, as far as footers say
   * @param only the file of a step that has one
   * @returns how many files may be worked on at a time
   */
  async begin(step: StepWork, inputs: readonly InputFile[], values: number, only?: ParquetFile): Promise<number> {
    this.#step = step
    this.#only = only
    const { threads, job, gate, storage } = this.#options
    const { most = 1, leastBytes = DEFAULT_LEAST_BYTES, leastFileBytes = DEFAULT_LEAST_FILE_BYTES } = threads ?? {}
    const { memory_mb: memory, threads: asked = most } = job.settings.limits
    const late = inputs.some(({ object }) => storage.reads?.(object.location)) ? LATE_MB : 0
    const room = (kind: 'few' | 'many') => Math.floor((memory - OWN_MB[kind]) / (THREAD_MB[kind] + late))
    // Mode random has a value for each cell.
    const areFew = values <= FEW_VALUES && !job.columns.some(({ mode }) => mode === 'random')
    const n = Math.min(most, asked, room(areFew ? 'few' : 'many'))
    const bytes = inputs.reduce((sum, { object }) => sum + object.bytes, 0)
    const byFile = inputs.length >= n && bytes >= leastBytes
    // Row groups of a CSV come to be one after the other.
    const byGroup = !byFile && !job.csv && inputs.some(({ object }) => object.bytes >= leastFileBytes)
    // A later step may be of another kind, and have room for fewer.
    if (
      n < (this.#threads?.all.length ?? 2) ||
      byFile !== (this.#files !== undefined) ||
      byGroup !== (this.#groups !== undefined)
    )
      await this.close()
    if (n > 1 && (byFile || byGroup)) {
      this.#threads ??= await this.#start(n, room('many') < n ? FEW_VALUES : undefined)
      // Loaded where they serve: most runs have none.
      if (byFile) this.#files ??= new (await import('./threads/files.ts')).FileThreads(this.#threads, gate)
      else this.#groups ??= new (await import('./threads/groups.ts')).GroupThreads(this.#threads)
    }
    this.#threads?.begin(step)
    // A CSV is read as it comes.
    this.#small.begin(job.csv ? [] : inputs)
    return this.#files ? n : 1
  }

  async #start(threads: number, values: number | undefined): Promise<Threads> {
    const { seed, client, signal } = this.#options
    const { Threads } = await import('./threads/thread.ts')
    return new Threads({ threads, values, seed, share: 1, client: client.client, signal })
  }

  /** @throws as `finishInput` */
  async run(input: InputFile, output: string, onProgress: InputWork['onProgress']): Promise<Finished> {
    if (this.#files) return this.#files.run(input, output, onProgress)
    const { job, client, signal, timings, gate } = this.#options
    const storage = await this.#small.of(input)
    this.#replacers ??= replacersFor(job, client.client, { share: 1, alone: true }, signal)
    const work = { ...(this.#step as StepWork), storage, signal, timings, gate, replacers: this.#replacers }
    const groups = this.#groups
    const opened = this.#only
    this.#only = undefined
    return finishInput({ ...work, input, output, onProgress, ...(groups && { groups }), ...(opened && { opened }) })
  }

  /** Whether no value was forgotten that nobody else remembers, so that each was asked for once. */
  get exact(): boolean {
    return this.#replacers?.exact ?? true
  }

  stop(): void {
    this.#threads?.stop()
  }

  async close(): Promise<void> {
    const threads = this.#threads
    this.#threads = undefined
    this.#files = undefined
    this.#groups = undefined
    await threads?.close()
  }
}
