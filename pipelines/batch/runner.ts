/** Who makes the data files of a step: this thread, one after the other; threads, a file each; or threads that share a file's row groups. */
import type { Client } from '../../lib/client/compose.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import type { InputWork, StepWork } from './file.ts'
import { finishInput } from './finish.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { type Replacers, replacersFor } from './replacer.ts'
import type { FileThreads } from './threads/files.ts'
import type { GroupThreads } from './threads/groups.ts'
import type { Threads } from './threads/thread.ts'
import type { Finished } from './unpublished.ts'

/** Less is done before a thread has started. */
const DEFAULT_LEAST_BYTES = 64 << 20
/** A file by itself: its writing and its gate stay in one thread. */
const DEFAULT_LEAST_FILE_BYTES = 256 << 20
/**
 * Of `limits.memory_mb` for each thread, and for this one beside them: more memory, more threads. Two threads over 40 million values, none
 * twice, took 700 MB, so the default of 512 has none.
 */
const THREAD_MB = 320
const OWN_MB = 128

/** Threads open their storages by themselves: what a caller wraps around one is not in them. */
export interface ThreadLimits {
  readonly most: number
  /** Bytes of a step for which threads are started. @default 64 MiB */
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

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  /** @param only the file of a step that has one @returns how many files may be worked on at a time */
  async begin(step: StepWork, inputs: readonly InputFile[], only?: ParquetFile): Promise<number> {
    this.#step = step
    this.#only = only
    const { threads, job, gate } = this.#options
    const { most = 1, leastBytes = DEFAULT_LEAST_BYTES, leastFileBytes = DEFAULT_LEAST_FILE_BYTES } = threads ?? {}
    const { memory_mb: memory, threads: asked = most } = job.settings.limits
    const n = Math.min(most, asked, Math.floor((memory - OWN_MB) / THREAD_MB))
    const bytes = inputs.reduce((sum, { object }) => sum + object.bytes, 0)
    const byFile = inputs.length >= n && bytes >= leastBytes
    // Row groups of a CSV come to be one after the other.
    const byGroup = !byFile && !job.csv && inputs.some(({ object }) => object.bytes >= leastFileBytes)
    // A later step may be of another kind.
    if (n < 2 || byFile !== (this.#files !== undefined) || byGroup !== (this.#groups !== undefined)) await this.close()
    if (n > 1 && (byFile || byGroup)) {
      this.#threads ??= await this.#start(n)
      // Loaded where they serve: most runs have none.
      if (byFile) this.#files ??= new (await import('./threads/files.ts')).FileThreads(this.#threads, gate)
      else this.#groups ??= new (await import('./threads/groups.ts')).GroupThreads(this.#threads)
    }
    this.#threads?.begin(step)
    return this.#files ? n : 1
  }

  async #start(threads: number): Promise<Threads> {
    const { seed, client, signal } = this.#options
    const { Threads } = await import('./threads/thread.ts')
    return new Threads({ threads, seed, share: 1, client: client.client, signal })
  }

  /** @throws as `finishInput` */
  run(input: InputFile, output: string, onProgress: InputWork['onProgress']): Promise<Finished> {
    if (this.#files) return this.#files.run(input, output, onProgress)
    const { job, client, storage, signal, timings, gate } = this.#options
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
