import { availableParallelism } from 'node:os'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { countOf, discard, lengthOf, packTexts, type TextBatch, unpackInto } from '../../../lib/core/texts.ts'
import type { KeyMaterial, OpenKernel, PseudonymKernel, RandomBytes } from '../../../lib/crypto/kernel.ts'
import { NONCE_BYTES } from '../../../lib/crypto/kernel.ts'
import type { KernelName } from '../../../lib/crypto/open.ts'
import { refusals, wiped } from '../../../lib/crypto/refusal.ts'
import type { Direction } from '../../../lib/wire/contract.ts'
import { type Crew, crew } from './crew.ts'
import type { SharedKey } from './protocol.ts'

/**
 * Threads for big batches. Whoever has little to do never starts one: they start once the values that were asked for would have kept
 * this thread busy for longer than a start takes. Where one fails, this thread does its work, and all that follows.
 */
export interface Threads {
  /** Opens kernels that threads can work for too; disposing of one wipes its key everywhere, of the last one ends the threads. */
  wrap(openKernel: OpenKernel): OpenKernel
  /** Whether threads would serve this batch; counts it. */
  take(kernel: PseudonymKernel, count: number): boolean
  /** @throws PseudolakeError as the kernel does, over the whole batch */
  run(kernel: PseudonymKernel, texts: readonly string[], how: How): Promise<string[]>
  runBytes(kernel: PseudonymKernel, batch: TextBatch, how: How): Promise<TextBatch>
  /** How many there are now. */
  readonly running: number
  /** Ends them once their work is done; resolves when they are gone. */
  close(): Promise<void>
}

export interface How {
  readonly direction: Direction
  readonly deterministic: boolean
  /** Awaited before each part: lets others have the thread, or stops the work by throwing. */
  readonly pause?: (() => Promise<void>) | undefined
}

export interface ThreadsOptions {
  /** 0: none, everything is done in this thread. @default one for each processor, `most` at most; none where there is one processor */
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
const LEAST_PART = 1_024
/** Values of a part, and bytes: enough to make handing over cheap, few enough to keep all threads busy and memory flat. */
const PART_VALUES = 8_192
const PART_BYTES = 1 << 20

interface Entry {
  readonly shared: SharedKey
  readonly kernel: PseudonymKernel
  readonly randomBytes: RandomBytes
}

/** A batch, by its parts. */
interface Work {
  readonly count: number
  readonly sizeOf: (i: number) => number
  readonly pack: (from: number, to: number) => TextBatch
  /** Gets each part's answer, in any order. */
  readonly put: (from: number, made: TextBatch) => void
}

export function kernelThreads(options: ThreadsOptions = {}): Threads {
  const threads = options.threads ?? defaultThreads(options.most ?? MOST_THREADS)
  const { startAfter = START_AFTER } = options
  if (!Number.isSafeInteger(threads) || threads < 0)
    throw new PseudolakeError('options/invalid', `threads: expected a whole number from 0 on, got ${threads}`)
  const entries = new Map<PseudonymKernel, Entry>()
  let keys = 0
  let asked = 0
  let team: Crew | undefined
  let stopped = threads === 0

  /** Starts the threads where they are not there yet; undefined where they can't serve. */
  function theTeam(): Crew | undefined {
    if (stopped) return undefined
    try {
      team ??= crew({
        threads,
        kernel: options.kernel ?? 'wasm',
        keys: () => [...entries.values()].map(({ shared }) => shared),
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
    stopped = true
  }

  function forget(kernel: PseudonymKernel): void {
    const entry = entries.get(kernel)
    if (!entry) return
    entries.delete(kernel)
    new Uint8Array(entry.shared.bytes).fill(0)
    team?.forget(entry.shared.key)
    if (entries.size === 0) void close()
  }

  async function close(): Promise<void> {
    stopped = true
    await team?.close()
  }

  /** One part, in a thread; in this one where that failed. @param pack makes it anew each time: a thread keeps what it was given */
  async function part(kernel: PseudonymKernel, pack: () => TextBatch, { direction, deterministic }: How) {
    const entry = entries.get(kernel)
    if (!entry) throw wiped(kernel.key.id)
    const there = theTeam()
    if (there) {
      const batch = pack()
      const random = direction === 'pseudonymize' && !deterministic
      const nonces = random ? entry.randomBytes(NONCE_BYTES * (batch.offsets.length - 1)) : undefined
      const done = await there.work(entry.shared.key, direction, batch, nonces)
      if (done) return done
      if (!entries.has(kernel)) throw wiped(kernel.key.id)
    }
    return direction === 'pseudonymize'
      ? entry.kernel.pseudonymizeBytes(pack(), { deterministic })
      : entry.kernel.reidentifyBytes(pack())
  }

  /** The parts of a batch, as many at a time as there is room for. */
  async function inParts(kernel: PseudonymKernel, how: How, { count, sizeOf, pack, put }: Work): Promise<void> {
    const refused = refusals(how.direction === 'pseudonymize' ? 'identifier/invalid' : 'pseudonym/invalid')
    const under = new Set<Promise<void>>()
    const failures: unknown[] = []
    async function one(from: number, to: number, leave: (() => void) | undefined): Promise<void> {
      try {
        put(from, await part(kernel, () => pack(from, to), how))
      } catch (error) {
        refused.absorb(error, (at) => from + at)
      } finally {
        leave?.()
      }
    }
    // As many for each thread, so that none is left to wait for at the end; cut as they go, so that the first starts at once.
    const rounds = Math.ceil(count / threads / PART_VALUES)
    const values = Math.max(LEAST_PART, Math.ceil(count / threads / Math.max(rounds, 2)))
    try {
      for (let from = 0, to = 0; from < count && failures.length === 0; from = to) {
        await how.pause?.()
        const place = await theTeam()?.place()
        for (let bytes = 0; to < count && to - from < values; to++) {
          bytes += sizeOf(to)
          if (bytes > PART_BYTES && to > from) break
        }
        const done = one(from, to, place)
          .catch((error: unknown) => void failures.push(error))
          .finally(() => under.delete(done))
        under.add(done)
      }
    } finally {
      await Promise.all(under)
    }
    if (failures.length > 0) throw failures[0]
    refused.throwIfAny(count)
  }

  return {
    wrap: (openKernel) => (material, kernelOptions) => {
      const own = openKernel(material, kernelOptions)
      if (threads === 0) return own
      const kernel: PseudonymKernel = {
        ...own,
        dispose() {
          forget(kernel)
          own.dispose()
        },
      }
      const shared = share(material, keys++)
      entries.set(kernel, { shared, kernel: own, randomBytes: kernelOptions.randomBytes })
      team?.open(shared)
      return kernel
    },

    take(kernel, count) {
      if (stopped || count < LEAST_VALUES || !entries.has(kernel)) return false
      asked += count
      return asked >= startAfter
    },

    async run(kernel, texts, how) {
      const result = new Array<string>(texts.length)
      await inParts(kernel, how, {
        count: texts.length,
        sizeOf: (i) => (texts[i] as string).length,
        pack: (from, to) => packed(texts.slice(from, to), how.direction),
        put(from, made) {
          unpackInto(made, result, from)
          discard(made.bytes)
        },
      })
      return result
    },

    async runBytes(kernel, batch, how) {
      const parts = how.direction === 'pseudonymize' ? partsForward(kernel, batch) : partsBack()
      await inParts(kernel, how, {
        count: countOf(batch),
        sizeOf: (i) => lengthOf(batch, i),
        pack: (from, to) => copied(batch, from, to),
        put: parts.put,
      })
      return parts.whole()
    },

    get running() {
      return team?.running ?? 0
    },

    close,
  }
}

function defaultThreads(most: number): number {
  const processors = availableParallelism()
  return processors === 1 ? 0 : Math.min(processors, most)
}

/** Pseudonyms are ASCII; what is not becomes what no kernel takes for one. @throws PseudolakeError where an identifier is not well-formed */
function packed(texts: readonly string[], direction: Direction): TextBatch {
  const batch = packTexts(texts)
  if (batch) return batch
  if (direction === 'reidentify') return packTexts(texts.map((text) => text.toWellFormed())) as TextBatch
  const indices = [...texts.entries()].filter(([, text]) => !text.isWellFormed()).map(([i]) => i)
  throw new PseudolakeError('identifier/invalid', 'not well-formed Unicode', {
    indices: indices.slice(0, 100),
    count: indices.length,
  })
}

/** In buffers of its own, to be given away. */
function copied(batch: TextBatch, from: number, to: number): TextBatch {
  const start = batch.offsets[from] as number
  const offsets = new Uint32Array(to - from + 1)
  for (let i = from; i <= to; i++) offsets[i - from] = (batch.offsets[i] as number) - start
  return { bytes: batch.bytes.slice(start, batch.offsets[to]), offsets }
}

interface Parts {
  put(from: number, made: TextBatch): void
  whole(): TextBatch
}

/** How long pseudonyms are is known, so each part goes to its place while others are worked on. */
function partsForward(kernel: PseudonymKernel, batch: TextBatch): Parts {
  let whole: TextBatch | undefined
  function room(): TextBatch {
    const offsets = new Uint32Array(batch.offsets.length)
    let total = 0
    let last = -1
    let length = 0
    for (let i = 0; i + 1 < offsets.length; i++) {
      const bytes = lengthOf(batch, i)
      // Identifiers are mostly of one length.
      if (bytes !== last) length = kernel.pseudonymLength(bytes)
      last = bytes
      total += length
      offsets[i + 1] = total
    }
    return { bytes: new Uint8Array(total), offsets }
  }
  return {
    put(from, made) {
      whole ??= room()
      whole.bytes.set(made.bytes, whole.offsets[from])
      discard(made.bytes)
    },
    whole: () => whole ?? room(),
  }
}

function partsBack(): Parts {
  const parts: { readonly from: number; readonly made: TextBatch }[] = []
  return {
    put: (from, made) => void parts.push({ from, made }),
    whole() {
      const count = parts.reduce((sum, { made }) => sum + made.offsets.length - 1, 0)
      const bytes = new Uint8Array(parts.reduce((sum, { made }) => sum + made.bytes.length, 0))
      const offsets = new Uint32Array(count + 1)
      let at = 0
      for (const { from, made } of parts.sort((a, b) => a.from - b.from)) {
        bytes.set(made.bytes, at)
        for (let j = 1; j < made.offsets.length; j++) offsets[from + j] = at + (made.offsets[j] as number)
        at += made.bytes.length
        discard(made.bytes)
      }
      return { bytes, offsets }
    },
  }
}

function share(material: KeyMaterial, key: number): SharedKey {
  const { id, domain, format } = material
  const [a, b] = material.format === 'v2' ? [material.aead, material.mac] : [material.secretKey, material.nonceKey]
  const bytes = new SharedArrayBuffer(a.length + b.length)
  const view = new Uint8Array(bytes)
  view.set(a)
  view.set(b, a.length)
  const nonceStrPos = material.format === 'v2' ? 0 : material.nonceStrPos
  return { key, id, domain, format, bytes, first: a.length, nonceStrPos }
}
