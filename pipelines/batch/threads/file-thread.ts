/** What a thread of a run does with what it is told. */
import type { PseudonymAnswer, Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import { openStorage } from '../../../lib/storage/open.ts'
import { finishInput, type StepWork } from '../file.ts'
import type { Gate } from '../gate/gate.ts'
import { gateWith } from '../gate/open.ts'
import type { InputFile } from '../inputs.ts'
import { type Replacers, replacersFor } from '../replacer.ts'
import { Timings } from '../timings.ts'
import { type FromThread, receivedError, sentError, type ThreadOptions, type ToThread } from './messages.ts'

/** Between two messages of progress. */
const PROGRESS_MS = 200

export class FileThread {
  readonly #options: ThreadOptions
  readonly #send: (message: FromThread) => void
  readonly #storage = openStorage()
  readonly #clock = systemClock()
  readonly #stop = new AbortController()
  readonly #calls = new Map<
    number,
    { readonly resolve: (answer: PseudonymAnswer) => void; readonly reject: (error: unknown) => void }
  >()
  #lastCall = 0
  #step: StepWork | undefined
  #replacers: Replacers | undefined
  #gate: Gate | undefined

  constructor(options: ThreadOptions, send: (message: FromThread) => void) {
    this.#options = options
    this.#send = send
  }

  receive(message: ToThread): void {
    switch (message.type) {
      case 'step':
        this.#begin(message.step)
        break
      case 'file':
        void this.#file(message.id, message.input, message.output)
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
        break
    }
  }

  /** Rules are told apart by identity, and those of another message are others: what rests on them is made anew. */
  #begin(step: StepWork): void {
    const { seed, share } = this.#options
    const { signal } = this.#stop
    this.#step = step
    this.#replacers = replacersFor(step.job, this.#client(), share, signal)
    this.#gate ??= gateWith(step.job, { storage: this.#storage, seed, share, signal, part: true })
  }

  async #file(id: number, input: InputFile, output: string): Promise<void> {
    const [step, replacers, gate] = [this.#step, this.#replacers, this.#gate]
    if (!step || !replacers || !gate) return
    let told = this.#clock.now()
    try {
      const finished = await finishInput({
        ...step,
        storage: this.#storage,
        input,
        output,
        replacers,
        gate,
        signal: this.#stop.signal,
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

  /** The run's own client answers: what one thread has asked for, no other need. */
  #client(): Pseudonymizer {
    return {
      call: ({ signal: _signal, ...request }) =>
        new Promise((resolve, reject) => {
          const call = ++this.#lastCall
          this.#calls.set(call, { resolve, reject })
          this.#send({ type: 'call', call, request })
        }),
    }
  }
}
