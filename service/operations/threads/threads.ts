import { availableParallelism } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { TextBatch } from '../../../lib/core/texts.ts'
import type { OpenKernel, PseudonymKernel, RandomBytes } from '../../../lib/crypto/kernel.ts'
import { NONCE_BYTES } from '../../../lib/crypto/kernel.ts'
import type { KernelName } from '../../../lib/crypto/open.ts'
import { refusals, wiped } from '../../../lib/crypto/refusal.ts'
import { type Crew, crew } from './crew.ts'
import { bytesParts, type How, type Parts, stringParts } from './parts.ts'
import { type SharedKey, shareKey, wipeKey } from './protocol.ts'
import { shareOut } from './sharing.ts'

export type { How } from './parts.ts'

/**
 * Threads for big batches, this one among them: it makes parts of a batch as the others do, and hands out and takes in theirs in between.
 * Whoever has little to do never starts another: they start once the values that were asked for would have kept this thread busy for longer
 * than a start takes. Where one fails, this thread does its work, and all that follows.
 */
export interface Threads {
  /** Opens kernels that threads can work for too; disposing of one wipes its key everywhere, of the last one ends the threads. */
  wrap(openKernel: OpenKernel): OpenKernel
  /** Whether threads would serve this batch; counts it. */
  take(kernel: PseudonymKernel, count: number): boolean
  /** @throws PseudolakeError as the kernel does, over the whole batch */
  run(kernel: PseudonymKernel, texts: readonly string[], how: How): Promise<string[]>
  runBytes(kernel: PseudonymKernel, batch: TextBatch, how: How): Promise<TextBatch>
  /** Starts them now, and resolves when all are there. @default they start by themselves, and this one works alone until then */
  start(): Promise<void>
  /** How many there are now beside this one. */
  readonly running: number
  /** Values that others than this thread have worked on so far. */
  readonly shared: number
  /** Ends them once their work is done; resolves when they are gone. */
  close(): Promise<void>
}

export interface ThreadsOptions {
  /** That work on a batch, this one included; 1 or 0: this one alone. @default one for each processor, `most` at most */
  readonly threads?: number | undefined
  /** @default 4 */
  readonly most?: number
  /** @default wasm */
  readonly kernel?: KernelName
  /** Values that are asked for before the first thread is started. @default 65_536: about 50 ms of this thread's time */
  readonly startAfter?: number
  /** Is told, once, why threads are no longer used. */
  readonly say?: (reason: string) => void
  /** @internal */
  readonly entry?: URL
}

const MOST_THREADS = 4
const START_AFTER = 65_536
/** A smaller batch is done before it has been handed over and back. */
const LEAST_VALUES = 256

interface Entry {
  /** Undefined once no thread can come any more that would need it. */
  readonly key: SharedKey | undefined
  readonly kernel: PseudonymKernel
  readonly randomBytes: RandomBytes
}

export function kernelThreads(options: ThreadsOptions = {}): Threads {
  const threads = options.threads ?? Math.min(availableParallelism(), options.most ?? MOST_THREADS)
  const { startAfter = START_AFTER } = options
  if (!Number.isSafeInteger(threads) || threads < 0)
    throw new PseudolakeError('options/invalid', `threads: expected a whole number from 0 on, got ${threads}`)
  const entries = new Map<PseudonymKernel, Entry>()
  let keys = 0
  let asked = 0
  let shared = 0
  let team: Crew | undefined
  let stopped = threads < 2

  /** Starts the threads where they are not there yet; undefined where they can't serve. */
  function theTeam(): Crew | undefined {
    if (stopped) return undefined
    try {
      team ??= crew({
        threads: threads - 1,
        kernel: options.kernel ?? 'wasm',
        keys: [...entries.values()].flatMap((entry) => entry.key ?? []),
        ...(options.entry && { entry: options.entry }),
        failed,
      })
      return team
    } catch (error) {
      failed(error instanceof Error ? error.name : typeof error)
      return undefined
    }
  }

  function failed(reason: string): void {
    if (!stopped) options.say?.(`a worker thread failed (${reason}); one thread does the work from now on`)
    void close()
  }

  function forget(kernel: PseudonymKernel): void {
    const entry = entries.get(kernel)
    if (!entry) return
    entries.delete(kernel)
    if (entry.key) {
      wipeKey(entry.key)
      team?.forget(entry.key.key)
    }
    if (entries.size === 0) void close()
  }

  async function close(): Promise<void> {
    stopped = true
    // No thread comes any more that would need them.
    for (const entry of entries.values()) if (entry.key) wipeKey(entry.key)
    await team?.close()
  }

  function entryOf(kernel: PseudonymKernel): Entry {
    const entry = entries.get(kernel)
    if (!entry) throw wiped(kernel.key.id)
    return entry
  }

  async function inParts(kernel: PseudonymKernel, how: How, parts: Parts): Promise<void> {
    const back = how.direction === 'reidentify'
    const random = !back && !how.deterministic
    const refused = refusals(back ? 'pseudonym/invalid' : 'identifier/invalid')
    await shareOut(parts, {
      crew: theTeam(),
      threads,
      pause: how.pause ?? setImmediate,
      put(part, place) {
        const { key, randomBytes } = entryOf(kernel)
        const count = part.to - part.from
        if (!key || !parts.put(part, place)) return undefined
        if (random) place.nonces.set(randomBytes(NONCE_BYTES * count))
        return { key: key.key, back, random, count }
      },
      make(part) {
        entryOf(kernel)
        try {
          parts.make(part)
        } catch (error) {
          refused.absorb(error, (at) => part.from + at)
        }
      },
      taken: (count) => {
        shared += count
      },
    })
    refused.throwIfAny(parts.count)
  }

  return {
    wrap: (openKernel) => (material, kernelOptions) => {
      const own = openKernel(material, kernelOptions)
      if (threads < 2) return own
      const kernel: PseudonymKernel = {
        ...own,
        dispose() {
          forget(kernel)
          own.dispose()
        },
      }
      const key = stopped ? undefined : shareKey(material, keys++)
      entries.set(kernel, { key, kernel: own, randomBytes: kernelOptions.randomBytes })
      if (key) team?.open(key)
      return kernel
    },

    take(kernel, count) {
      if (stopped || count < LEAST_VALUES || !entries.has(kernel)) return false
      asked += count
      return asked >= startAfter
    },

    async run(kernel, texts, how) {
      const result = new Array<string>(texts.length)
      await inParts(kernel, how, stringParts(entryOf(kernel).kernel, texts, how, result))
      return result
    },

    async runBytes(kernel, batch, how) {
      const parts = bytesParts(entryOf(kernel).kernel, batch, how)
      await inParts(kernel, how, parts)
      return parts.whole()
    },

    async start() {
      await theTeam()?.up
    },

    get running() {
      return team?.running ?? 0
    },

    get shared() {
      return shared
    },

    close,
  }
}
