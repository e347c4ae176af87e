import { Worker } from 'node:worker_threads'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { TextBatch } from '../../../lib/core/texts.ts'
import type { KernelName } from '../../../lib/crypto/open.ts'
import type { Direction } from '../../../lib/wire/contract.ts'
import type { Answer, Message, SharedKey, WorkerSettings } from './protocol.ts'

/** The worker threads themselves: started with the first job, told of keys, given jobs, ended. */
export interface Crew {
  /** Waits for room for one more job, in the order of asking. @returns gives it back */
  place(): Promise<() => void>
  /**
   * @param batch its buffers are given away
   * @returns undefined where no thread could do it
   * @throws PseudolakeError as the kernel does
   */
  work(key: number, direction: Direction, batch: TextBatch, nonces?: Uint8Array): Promise<TextBatch | undefined>
  open(key: SharedKey): void
  forget(key: number): void
  close(): Promise<void>
  readonly running: number
}

export interface CrewOptions {
  readonly threads: number
  readonly kernel: KernelName
  /** Those to tell a thread of that starts. */
  readonly keys: () => readonly SharedKey[]
  /** Is told why a thread ended, or could not do its work. */
  readonly failed: (reason: string) => void
  readonly entry?: URL
}

/** For each thread: one that it works on and two that wait, so that it never does. Bounds what is held, too. */
const JOBS_PER_THREAD = 3
/** A thread has this long to finish its job and wipe its keys. */
const GRACE_MS = 2_000

/** Beside this file in a checkout and in the built package: Node strips types here, the compiler has done it there. */
const ENTRY = import.meta.url.endsWith('.ts')
  ? new URL('./worker.ts', import.meta.url)
  : new URL('./worker.js', import.meta.url)

interface Member {
  readonly worker: Worker
  readonly jobs: Map<number, (answer: Answer | undefined) => void>
}

export function crew({ threads, kernel, keys, failed, entry = ENTRY }: CrewOptions): Crew {
  const workerData: WorkerSettings = { kernel }
  let closing: Promise<void> | undefined
  let free = threads * JOBS_PER_THREAD
  const waiting: (() => void)[] = []
  let jobs = 0
  const members = new Set<Member>()
  for (let i = 0; i < threads; i++) members.add(start())

  function start(): Member {
    const worker = new Worker(entry, {
      workerData,
      execArgv: [],
      // What a thread holds is buffers, outside of its heap.
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
    })
    const member: Member = { worker, jobs: new Map() }
    // A thread without work keeps no process from ending.
    worker.unref()
    worker.on('message', (answer: Answer) => {
      const settle = member.jobs.get(answer.job)
      member.jobs.delete(answer.job)
      if (member.jobs.size === 0) worker.unref()
      settle?.(answer)
    })
    worker.on('error', (error: NodeJS.ErrnoException) => leave(member, error.code ?? error.name))
    worker.on('exit', (code) => leave(member, `exit ${code}`))
    for (const key of keys()) send(member, { kind: 'open', ...key })
    return member
  }

  /** Its jobs are nobody's then, and whoever gave them does them. */
  function leave(member: Member, reason: string): void {
    if (!members.delete(member)) return
    if (!closing) failed(reason)
    for (const settle of member.jobs.values()) settle(undefined)
    member.jobs.clear()
  }

  function send({ worker }: Member, message: Message, transfer: readonly ArrayBuffer[] = []): void {
    worker.postMessage(message, transfer)
  }

  return {
    async place() {
      if (free > 0) free--
      else await new Promise<void>((resolve) => waiting.push(resolve))
      return () => {
        const next = waiting.shift()
        if (next) next()
        else free++
      }
    },

    async work(key, direction, { bytes, offsets }, nonces) {
      const [member] = [...members].sort((a, b) => a.jobs.size - b.jobs.size)
      if (!member || closing) return undefined
      const job = jobs++
      const answer = await new Promise<Answer | undefined>((resolve) => {
        if (member.jobs.size === 0) member.worker.ref()
        member.jobs.set(job, resolve)
        const message = { kind: 'work', job, key, direction, bytes, offsets: offsets as Uint32Array } as const
        const given = [bytes.buffer, offsets.buffer] as ArrayBuffer[]
        // Copied: whose buffer it is, is not ours to know.
        send(member, nonces ? { ...message, nonces: new Uint8Array(nonces) } : message, given)
      })
      if (!answer) return undefined
      if ('failed' in answer) {
        failed(answer.failed)
        return undefined
      }
      if ('refusal' in answer) {
        const { code, message, context } = answer.refusal
        throw new PseudolakeError(code, message, context)
      }
      return { bytes: answer.bytes, offsets: answer.offsets }
    },

    open: (key) => {
      for (const member of members) send(member, { kind: 'open', ...key })
    },

    forget: (key) => {
      for (const member of members) send(member, { kind: 'forget', key })
    },

    close() {
      closing ??= Promise.all([...members].map(end)).then(() => undefined)
      return closing
    },

    get running() {
      return members.size
    },
  }

  async function end(member: Member): Promise<void> {
    const gone = new Promise((resolve) => member.worker.once('exit', resolve))
    member.worker.ref()
    send(member, { kind: 'end' })
    const late = setTimeout(() => void member.worker.terminate(), GRACE_MS)
    await gone
    clearTimeout(late)
  }
}
