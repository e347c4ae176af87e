/** Threads that rewrite the files of a run, each one file at a time. */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { StepWork } from '../file.ts'
import type { Gate } from '../gate/gate.ts'
import type { InputFile } from '../inputs.ts'
import type { Finished } from '../unpublished.ts'
import { type FromThread, receivedError, sentError, type ThreadOptions, type ToThread } from './messages.ts'

const ENTRY = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
/** As in the main thread (lib/core/heap.ts), where it can only be kept from growing. */
const YOUNG_MB = 8

export interface PoolOptions extends ThreadOptions {
  readonly threads: number
  readonly client: Pseudonymizer
  /** Of the run: what threads have seen comes together in it. */
  readonly gate: Gate
  readonly signal: AbortSignal
}

interface Task {
  readonly id: number
  readonly input: InputFile
  readonly output: string
  readonly onProgress: (done: { readonly rows: number; readonly bytes: number }) => void
  readonly resolve: (finished: Finished) => void
  readonly reject: (error: unknown) => void
}

interface Thread {
  readonly worker: Worker
  task: Task | undefined
}

export class FilePool {
  readonly #options: PoolOptions
  readonly #threads: Thread[]
  readonly #queue: Task[] = []
  #lastId = 0

  constructor(options: PoolOptions) {
    this.#options = options
    const { seed, share, threads } = options
    this.#threads = Array.from({ length: threads }, () => this.#start({ seed, share: share / threads }))
    options.signal.addEventListener('abort', this.#stop, { once: true })
  }

  get threads(): number {
    return this.#threads.length
  }

  /** The files from now on belong to it. None is under way. */
  begin(step: StepWork): void {
    for (const { worker } of this.#threads) worker.postMessage({ type: 'step', step } satisfies ToThread)
  }

  /** @throws as `finishInput` */
  run(input: InputFile, output: string, onProgress: Task['onProgress']): Promise<Finished> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ id: ++this.#lastId, input, output, onProgress, resolve, reject })
      this.#next()
    })
  }

  /** Has what is under way end as soon as it can; each fails then, and leaves nothing. */
  stop(): void {
    this.#stop()
  }

  async close(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#stop)
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  readonly #stop = (): void => {
    for (const { worker } of this.#threads) worker.postMessage({ type: 'stop' } satisfies ToThread)
  }

  #start(workerData: ThreadOptions): Thread {
    const worker = new Worker(ENTRY, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } })
    const thread: Thread = { worker, task: undefined }
    worker.on('message', (message: FromThread) => this.#receive(thread, message))
    // A thread that ends by itself ran out of memory, or into an error of ours.
    const lost = (error: unknown) => {
      const { task } = thread
      thread.task = undefined
      const cause = error instanceof Error ? { cause: error } : undefined
      task?.reject(new PseudolakeError('internal/bug', 'a thread of the run ended', {}, cause))
    }
    worker.on('error', lost)
    worker.on('exit', (code) => {
      if (code !== 0) lost(undefined)
    })
    return thread
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (thread.task) continue
      const task = this.#queue.shift()
      if (!task) return
      thread.task = task
      const { id, input, output } = task
      thread.worker.postMessage({ type: 'file', id, input, output } satisfies ToThread)
    }
  }

  #receive(thread: Thread, message: FromThread): void {
    const { task } = thread
    switch (message.type) {
      case 'call':
        void this.#call(thread.worker, message)
        return
      case 'progress':
        task?.onProgress(message)
        return
      case 'done':
      case 'failed':
        thread.task = undefined
        if (task) this.#end(task, message)
        this.#next()
    }
  }

  #end(task: Task, message: Extract<FromThread, { readonly type: 'done' | 'failed' }>): void {
    try {
      this.#options.gate.addPart(message.gate, task.output)
      if (message.type === 'failed') throw receivedError(message.error)
      task.resolve(message.finished)
    } catch (error) {
      task.reject(error)
    }
  }

  async #call(worker: Worker, { call, request }: Extract<FromThread, { readonly type: 'call' }>): Promise<void> {
    const { client, signal } = this.#options
    let reply: ToThread
    try {
      reply = { type: 'answer', call, answer: await client.call({ ...request, signal }) }
    } catch (error) {
      reply = { type: 'refused', call, error: sentError(error) }
    }
    worker.postMessage(reply)
  }
}
