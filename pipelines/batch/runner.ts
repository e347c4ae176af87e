/** Who makes the data files of a step: this thread, one after the other, or threads of their own. */
import type { Client } from '../../lib/client/compose.ts'
import { finishInput, type InputWork, type StepWork } from './file.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { type Replacers, replacersFor } from './replacer.ts'
import { FilePool } from './threads/pool.ts'
import type { Finished } from './unpublished.ts'

/** Less is done before a thread has started. */
const DEFAULT_LEAST_BYTES = 64 << 20
/** What a thread takes by itself, its heap and windows: more memory, more threads. */
const THREAD_MB = 128

/** Threads open their storages by themselves: what a caller wraps around one is not in them. */
export interface Threads {
  readonly most: number
  /** Bytes of a step for which threads are started. @default 64 MiB */
  readonly leastBytes?: number
}

export interface RunnerOptions extends Pick<InputWork, 'storage' | 'signal' | 'timings' | 'gate'> {
  readonly job: BatchJob
  readonly client: Client
  readonly threads: Threads | undefined
  readonly seed: number
}

export class Runner {
  readonly #options: RunnerOptions
  #pool: FilePool | undefined
  #replacers: Replacers | undefined
  #step: StepWork | undefined

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  /** @returns how many files may be worked on at a time */
  begin(step: StepWork, inputs: readonly InputFile[]): number {
    this.#step = step
    const { threads = { most: 1 }, job, seed, gate, signal, client } = this.#options
    const { memory_mb: memory, threads: most = threads.most } = job.settings.limits
    const bytes = inputs.reduce((sum, { object }) => sum + object.bytes, 0)
    const n = Math.min(threads.most, most, inputs.length, Math.floor(memory / THREAD_MB))
    if (!this.#pool && n > 1 && bytes >= (threads.leastBytes ?? DEFAULT_LEAST_BYTES))
      this.#pool = new FilePool({ threads: n, client: client.client, gate, seed, share: 1, signal })
    this.#pool?.begin(step)
    return this.#pool?.threads ?? 1
  }

  /** @throws as `finishInput` */
  run(input: InputFile, output: string, onProgress: InputWork['onProgress']): Promise<Finished> {
    if (this.#pool) return this.#pool.run(input, output, onProgress)
    const { job, client, storage, signal, timings, gate } = this.#options
    this.#replacers ??= replacersFor(job, client.client, 1, signal)
    const replacers = this.#replacers
    const step = this.#step as StepWork
    return finishInput({ ...step, storage, signal, timings, gate, input, output, replacers, onProgress })
  }

  stop(): void {
    this.#pool?.stop()
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }
}
