/**
 * Row groups of one file that are made in threads and written here, in their order. A thread works ahead of the writing by as much as it may
 * have under way, and waits then: memory does not grow with a row group.
 */
import type { WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import type { ConstantColumn } from '../../../lib/parquet/output-tree.ts'
import type { Piece, RemoteRowGroup } from '../../../lib/parquet/pieces.ts'
import type { InputFile } from '../inputs.ts'
import { receivedError } from './messages.ts'
import type { Thread, ThreadMessage, Threads } from './thread.ts'

/** Row groups of each thread that are under way: one that is made, one that waits to be written. */
const AHEAD = 2

export class GroupThreads {
  readonly #threads: Threads
  readonly #underWay = new Map<number, Group>()
  #lastId = 0
  #lastFile = 0

  constructor(threads: Threads) {
    this.#threads = threads
    for (const thread of threads.all) {
      thread.onMessage = (message) => this.#receive(message)
      thread.onLost = (error) => {
        for (const group of this.#underWay.values()) if (group.thread === thread) group.fail(error)
      }
    }
  }

  /**
   * The row groups of a file, for `rewrite`, which asks for each in turn.
   * @param count of the plan's
   */
  of(input: InputFile, constants: readonly ConstantColumn[], count: number): (position: number) => RemoteRowGroup {
    const of = { file: ++this.#lastFile, input, constants }
    const begun: Group[] = []
    return (position) => {
      const { working } = this.#threads
      for (let next = begun.length; next < Math.min(count, position + AHEAD * working.length); next++) {
        const id = ++this.#lastId
        const group = new Group(id, working[next % working.length] as Thread)
        begun.push(group)
        this.#underWay.set(id, group)
        group.thread.post({ type: 'group', id, of, position: next })
      }
      return begun[position] as Group
    }
  }

  #receive(message: ThreadMessage): void {
    if (message.type === 'progress') return
    const group = this.#underWay.get(message.id)
    if (message.type === 'pieces') group?.add(message.pieces, message.bytes)
    if (message.type === 'group-done') group?.end(message.written)
    if (message.type === 'failed') group?.fail(receivedError(message.error))
    if (message.type !== 'pieces') this.#underWay.delete(message.id)
  }
}

class Group implements RemoteRowGroup {
  readonly thread: Thread
  readonly written: Promise<WrittenRowGroup>
  readonly #id: number
  readonly #ready: { readonly pieces: readonly Piece[]; readonly bytes: number }[] = []
  readonly #settle: { readonly resolve: (written: WrittenRowGroup) => void; readonly reject: (error: unknown) => void }
  #over = false
  #wake: () => void = () => {}

  constructor(id: number, thread: Thread) {
    const { promise, resolve, reject } = Promise.withResolvers<WrittenRowGroup>()
    this.#id = id
    this.thread = thread
    this.written = promise
    this.#settle = { resolve, reject }
    // One that is never asked for fails unheard.
    promise.catch(() => {})
  }

  add(pieces: readonly Piece[], bytes: number): void {
    this.#ready.push({ pieces, bytes })
    this.#wake()
  }

  end(written: WrittenRowGroup): void {
    this.#over = true
    this.#settle.resolve(written)
    this.#wake()
  }

  fail(error: unknown): void {
    this.#over = true
    this.#settle.reject(error)
    this.#wake()
  }

  get pieces(): AsyncIterable<readonly Piece[]> {
    return this.#pieces()
  }

  async *#pieces(): AsyncGenerator<readonly Piece[]> {
    for (;;) {
      const next = this.#ready.shift()
      if (next) {
        yield next.pieces
        this.thread.post({ type: 'taken', id: this.#id, bytes: next.bytes })
      } else if (this.#over) return
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}
