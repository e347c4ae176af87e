/** A thread of a run, as the run sees it. */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { bytesOf } from '../../../lib/client/bytes.ts'
import type { Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { compactTexts } from '../../../lib/core/texts.ts'
import type { StepWork } from '../file.ts'
import { type FromThread, sentError, type ThreadOptions, type ToThread } from './messages.ts'

const ENTRY = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
/** As in the main thread (lib/core/heap.ts), where it can only be kept from growing. */
const YOUNG_MB = 8

export interface ThreadsOptions extends ThreadOptions {
  readonly threads: number
  /** Different values that there is memory for in all threads; once there were more, one works on. @default no limit */
  readonly values?: number | undefined
  readonly client: Pseudonymizer
  readonly signal: AbortSignal
}

export type ThreadMessage = Exclude<FromThread, { readonly type: 'call' }>

export class Thread {
  /** What is told of messages, and of the thread's end. */
  onMessage: (message: ThreadMessage) => void = () => {}
  onLost: (error: unknown) => void = () => {}
  /** Values that it has asked for. */
  asked = 0
  readonly #worker: Worker
  readonly #options: Pick<ThreadsOptions, 'client' | 'signal'>

  constructor(workerData: ThreadOptions, options: Pick<ThreadsOptions, 'client' | 'signal'>) {
    this.#options = options
    this.#worker = new Worker(ENTRY, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } })
    this.#worker.on('message', (message: FromThread) => {
      if (message.type === 'call') {
        this.asked += message.request.values.offsets.length - 1
        void this.#call(message)
      } else this.onMessage(message)
    })
    // A thread that ends by itself ran out of memory, or into an error of ours.
    const lost = (cause: unknown) =>
      this.onLost(new PseudolakeError('internal/bug', 'a thread of the run ended', {}, { cause }))
    this.#worker.on('error', lost)
    this.#worker.on('exit', (code) => {
      if (code !== 0) lost(undefined)
    })
  }

  post(message: ToThread): void {
    this.#worker.postMessage(message)
  }

  async end(): Promise<void> {
    this.onLost = () => {}
    await this.#worker.terminate()
  }

  /** The run's own client answers: what one thread has asked for, no other need. */
  async #call({ call, request }: Extract<FromThread, { readonly type: 'call' }>): Promise<void> {
    const { client, signal } = this.#options
    try {
      const answer = await bytesOf(client)({ ...request, signal })
      // A message carries whole buffers, whatever part of them is meant.
      this.post({ type: 'answer', call, answer: { ...answer, values: compactTexts(answer.values) } })
    } catch (error) {
      this.post({ type: 'refused', call, error: sentError(error) })
    }
  }
}

/** Threads that work for one run, until it is over. */
export class Threads {
  readonly all: readonly Thread[]
  readonly #signal: AbortSignal
  readonly #values: number

  constructor({ threads, values = Number.POSITIVE_INFINITY, seed, share, client, signal }: ThreadsOptions) {
    this.#signal = signal
    // Each asks for what it has not met, which another may have.
    this.#values = values * threads
    const data = { seed, share: share / threads }
    this.all = Array.from({ length: threads }, () => new Thread(data, { client, signal }))
    signal.addEventListener('abort', this.stop, { once: true })
  }

  /** Those that may be given more work. */
  get working(): readonly Thread[] {
    const asked = this.all.reduce((sum, thread) => sum + thread.asked, 0)
    return asked > this.#values ? this.all.slice(0, 1) : this.all
  }

  /** The files from now on belong to it. None is under way. */
  begin(step: StepWork): void {
    for (const thread of this.all) thread.post({ type: 'step', step })
  }

  /** Has what is under way end as soon as it can; each fails then, and leaves nothing. */
  readonly stop = (): void => {
    for (const thread of this.all) thread.post({ type: 'stop' })
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.stop)
    await Promise.all(this.all.map((thread) => thread.end()))
  }
}
