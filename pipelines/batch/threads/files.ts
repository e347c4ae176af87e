/** Files that are rewritten in threads, each one file at a time. */
import type { Gate } from '../gate/gate.ts'
import type { InputFile } from '../inputs.ts'
import type { Finished } from '../unpublished.ts'
import { receivedError } from './messages.ts'
import type { Thread, ThreadMessage, Threads } from './thread.ts'

interface Task {
  readonly id: number
  readonly input: InputFile
  readonly output: string
  readonly onProgress: (done: { readonly rows: number; readonly bytes: number }) => void
  readonly resolve: (finished: Finished) => void
  readonly reject: (error: unknown) => void
}

export class FileThreads {
  readonly #gate: Gate
  readonly #threads: Threads
  readonly #tasks = new Map<Thread, Task>()
  readonly #queue: Task[] = []
  #lastId = 0

  /** @param gate of the run: what threads have seen comes together in it */
  constructor(threads: Threads, gate: Gate) {
    this.#threads = threads
    this.#gate = gate
    for (const thread of threads.all) {
      thread.onMessage = (message) => this.#receive(thread, message)
      thread.onLost = (error) => this.#tasks.get(thread)?.reject(error)
    }
  }

  /** @throws as `finishInput` */
  run(input: InputFile, output: string, onProgress: Task['onProgress']): Promise<Finished> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ id: ++this.#lastId, input, output, onProgress, resolve, reject })
      this.#next()
    })
  }

  #next(): void {
    for (const thread of this.#threads.working) {
      if (this.#tasks.has(thread)) continue
      const task = this.#queue.shift()
      if (!task) return
      this.#tasks.set(thread, task)
      const { id, input, output } = task
      thread.post({ type: 'file', id, input, output })
    }
  }

  #receive(thread: Thread, message: ThreadMessage): void {
    const task = this.#tasks.get(thread)
    if (message.type === 'progress') task?.onProgress(message)
    if (message.type !== 'done' && message.type !== 'failed') return
    this.#tasks.delete(thread)
    if (task) this.#end(task, message)
    this.#next()
  }

  #end(task: Task, message: Extract<ThreadMessage, { readonly type: 'done' | 'failed' }>): void {
    try {
      if (message.gate) this.#gate.addPart(message.gate, task.output)
      if (message.type === 'failed') throw receivedError(message.error)
      task.resolve(message.finished)
    } catch (error) {
      task.reject(error)
    }
  }
}
