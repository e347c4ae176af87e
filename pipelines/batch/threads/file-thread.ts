/** What a thread of a run does with what it is told. */
import { overBytes } from '../../../lib/client/bytes.ts'
import type { BytesAnswer, Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import { compactTexts } from '../../../lib/core/texts.ts'
import type { Piece } from '../../../lib/parquet/pieces.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { StepWork } from '../file.ts'
import { finishInput } from '../finish.ts'
import type { Gate } from '../gate/gate.ts'
import { gateWith } from '../gate/open.ts'
import type { BatchJob } from '../job.ts'
import { type Replacers, replacersFor } from '../replacer.ts'
import { Timings } from '../timings.ts'
import { GroupWork } from './group-work.ts'
import { type FromThread, receivedError, sentError, type ThreadOptions, type ToThread } from './messages.ts'

/** Between two messages of progress. */
const PROGRESS_MS = 200
/** Bytes of a row group that may be under way to the thread that writes it. */
const UNDER_WAY_BYTES = 8 << 20

interface Step {
  readonly storage: Storage
  readonly work: StepWork
  readonly replacers: Replacers
  readonly gate: Gate
}

export class FileThread {
  readonly #options: ThreadOptions
  readonly #send: (message: FromThread) => void
  readonly #storageOf: (job: BatchJob, signal: AbortSignal) => Storage
  readonly #clock = systemClock()
  readonly #stop = new AbortController()
  readonly #calls = new Map<
    number,
    { readonly resolve: (answer: BytesAnswer) => void; readonly reject: (error: unknown) => void }
  >()
  #lastCall = 0
  #step: Step | undefined
  #opened: { readonly file: number; readonly work: Promise<GroupWork> } | undefined
  /** Row groups are made one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #underWay = 0
  #wake: () => void = () => {}

  /** @param storageOf opens a thread's own storage, once: it works for one job */
  constructor(
    options: ThreadOptions,
    send: (message: FromThread) => void,
    storageOf: (job: BatchJob, signal: AbortSignal) => Storage,
  ) {
    this.#options = options
    this.#send = send
    this.#storageOf = storageOf
  }

  receive(message: ToThread): void {
    switch (message.type) {
      case 'step':
        this.#begin(message.step)
        break
      case 'file':
        void this.#file(message)
        break
      case 'group':
        this.#turn = this.#turn.then(() => this.#group(message))
        break
      case 'taken':
        this.#underWay -= message.bytes
        this.#wake()
        break
      case 'answer':
        this.#calls.get(message.call)?.resolve(message.answer)
        this.#calls.delete(message.call)
        break
      case 'refused':
        this.#calls.get(message.call)?.reject(receivedError(message.error))
        this.#calls.delete(message.call)
        break
      case 'stop':
        this.#stop.abort(new Error('the run stops'))
        for (const { reject } of this.#calls.values()) reject(this.#stop.signal.reason)
        this.#wake()
        break
    }
  }

  /** Rules are told apart by identity, and those of another message are others: what rests on them is made anew. */
  #begin(work: StepWork): void {
    const { seed, share } = this.#options
    const { signal } = this.#stop
    const replacers = replacersFor(work.job, this.#client(), { share, alone: false }, signal)
    const storage = this.#step?.storage ?? this.#storageOf(work.job, signal)
    const gate = this.#step?.gate ?? gateWith(work.job, { storage, seed, share, signal, part: true })
    this.#step = { storage, work, replacers, gate }
    this.#opened = undefined
  }

  async #file({ id, input, output }: Extract<ToThread, { readonly type: 'file' }>): Promise<void> {
    if (!this.#step) return
    const { storage, work, replacers, gate } = this.#step
    let told = this.#clock.now()
    try {
      const finished = await finishInput({
        ...work,
        storage,
        input,
        output,
        replacers,
        gate,
        signal: this.#stop.signal,
        share: this.#options.share,
        timings: new Timings(this.#clock),
        onProgress: ({ rows, bytes }) => {
          if (this.#clock.now() - told < PROGRESS_MS) return
          told = this.#clock.now()
          this.#send({ type: 'progress', id, rows, bytes })
        },
      })
      this.#send({ type: 'done', id, finished, gate: gate.takePart() })
    } catch (error) {
      this.#send({ type: 'failed', id, error: sentError(error), gate: gate.takePart() })
    }
  }

  async #group({ id, of, position }: Extract<ToThread, { readonly type: 'group' }>): Promise<void> {
    if (!this.#step) return
    const { storage, work: step, replacers } = this.#step
    try {
      const options = { storage, signal: this.#stop.signal, step, replacers }
      if (this.#opened?.file !== of.file) this.#opened = { file: of.file, work: GroupWork.open(of, options) }
      const work = await this.#opened.work
      const written = await work.group(position, (pieces, bytes) => this.#handOver(id, pieces, bytes))
      this.#send({ type: 'group-done', id, written })
    } catch (error) {
      this.#send({ type: 'failed', id, error: sentError(error), gate: undefined })
    }
  }

  async #handOver(id: number, pieces: readonly Piece[], bytes: number): Promise<void> {
    while (this.#underWay > UNDER_WAY_BYTES) {
      this.#stop.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#stop.signal.throwIfAborted()
    this.#underWay += bytes
    this.#send({ type: 'pieces', id, pieces, bytes })
  }

  #client(): Pseudonymizer {
    return overBytes(({ signal: _signal, values, ...question }) => {
      // A message carries whole buffers, whatever part of them is meant.
      const request = { ...question, values: compactTexts(values) }
      return new Promise((resolve, reject) => {
        const call = ++this.#lastCall
        this.#calls.set(call, { resolve, reject })
        this.#send({ type: 'call', call, request })
      })
    })
  }
}
