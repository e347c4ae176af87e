import { Worker } from 'node:worker_threads'
import type { KernelName } from '../../../lib/crypto/open.ts'
import {
  COMMON,
  changeState,
  type Place,
  STATE,
  sharePlaces,
  stateOf,
  tellNews,
  viewPlaces,
  WORD,
  wipeFront,
} from './places.ts'
import { type Answer, expectThreads, type Message, type SharedKey, type WorkerSettings } from './protocol.ts'

/** The worker threads themselves: told of keys, given parts, ended. */
export interface Crew {
  /** A place that nobody has; undefined where there is none, or no thread that would look at it. */
  place(): Place | undefined
  /** Gives a filled place to the first thread that has time, after those that were given before. */
  hand(place: Place, work: Work): void
  /** Takes it back from all threads. @returns false where one has begun */
  takeBack(place: Place): boolean
  /** What came of it; undefined while it is not yet known. */
  outcome(place: Place): Outcome | undefined
  /** Resolves when one of these may have an outcome, or a thread is gone. */
  news(of: readonly Place[]): Promise<void>
  /** Gives back a place that no thread works on. What lies in it is overwritten by the next part, or by `tidy`. */
  release(place: Place): void
  /** Wipes all places that nobody has: for whoever has released its last one. */
  tidy(): void
  open(key: SharedKey): void
  forget(key: number): void
  close(): Promise<void>
  /** No thread begins anything any more. */
  readonly isOver: boolean
  /** Resolves when all threads look for work, or are gone. */
  readonly up: Promise<void>
  readonly running: number
}

/** What is to be done with what lies in a place. */
export interface Work {
  readonly key: number
  readonly back: boolean
  readonly random: boolean
  readonly count: number
}

/** `undone`: no thread could do it; who gave it does it, and then sees why. */
export type Outcome = 'done' | 'undone'

export interface CrewOptions {
  readonly threads: number
  readonly kernel: KernelName
  readonly keys: readonly SharedKey[]
  /** Is told why a thread ended, or could not do its work. */
  readonly failed: (reason: string) => void
  readonly entry?: URL
}

/** For each thread: one that it works on and two that wait, so that it never does. Bounds what is held, too. */
const PLACES_PER_THREAD = 3
/** A thread has this long to finish its part and wipe its keys. */
const GRACE_MS = 2_000

/** Beside this file in a checkout and in the built package: Node strips types here, the compiler has done it there. */
const ENTRY = import.meta.url.endsWith('.ts')
  ? new URL('./worker.ts', import.meta.url)
  : new URL('./worker.js', import.meta.url)

interface Member {
  readonly worker: Worker
  readonly thread: number
  readonly up: Promise<void>
  isUp: boolean
  settle: () => void
}

export function crew({ threads, kernel, keys, failed, entry = ENTRY }: CrewOptions): Crew {
  const shared = sharePlaces(threads * PLACES_PER_THREAD)
  const { common, places } = viewPlaces(shared)
  const free = [...places]
  /** Of the next part that is handed out; goes round. */
  let turn = 0
  let closing: Promise<void> | undefined
  let wake: () => void = () => undefined
  let woken: Promise<void> | undefined
  const members = new Set<Member>()
  for (let thread = 0; thread < threads; thread++) members.add(start(thread))
  for (const key of keys) open(key)

  function start(thread: number): Member {
    const workerData: WorkerSettings = { kernel, thread, places: shared }
    const worker = new Worker(entry, {
      workerData,
      execArgv: [],
      // What a thread holds is buffers, outside of its heap.
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
    })
    const { promise: up, resolve: settle } = Promise.withResolvers<void>()
    const member: Member = { worker, thread, up, settle, isUp: false }
    // A thread without work keeps no process from ending.
    worker.unref()
    worker.on('message', (answer: Answer) => {
      if (answer.kind === 'failed') failed(answer.reason)
      member.isUp = true
      settle()
      tell()
    })
    worker.on('error', (error: NodeJS.ErrnoException) => leave(member, error.code ?? error.name))
    worker.on('exit', (code) => leave(member, `exit ${code}`))
    return member
  }

  /** What it was working on is nobody's then. */
  function leave(member: Member, reason: string): void {
    if (!members.delete(member)) return
    if (!closing) failed(reason)
    for (const place of places) changeState(place, STATE.taken + member.thread, STATE.failed)
    member.settle()
    tell()
  }

  function tell(): void {
    woken = undefined
    wake()
  }

  function send(message: Message): void {
    for (const { worker } of members) worker.postMessage(message)
    Atomics.add(common, COMMON.messages, 1)
    tellNews(common)
  }

  function open(key: SharedKey): void {
    expectThreads(key, members.size)
    send({ kind: 'open', ...key })
  }

  function outcome(place: Place): Outcome | undefined {
    const state = stateOf(place)
    if (state === STATE.done) return 'done'
    return state === STATE.refused || state === STATE.failed ? 'undone' : undefined
  }

  return {
    place() {
      if (closing || ![...members].some(({ isUp }) => isUp)) return undefined
      if (free.length === places.length) for (const { worker } of members) worker.ref()
      return free.shift()
    },

    hand(place, { key, back, random, count }) {
      const { words } = place
      words[WORD.key] = key
      words[WORD.back] = back ? 1 : 0
      words[WORD.random] = random ? 1 : 0
      words[WORD.count] = count
      words[WORD.turn] = turn++
      Atomics.store(words, WORD.state, STATE.ready)
      tellNews(common)
    },

    takeBack: (place) => changeState(place, STATE.ready, STATE.free),

    outcome,

    news(of) {
      if (!woken) {
        const { promise, resolve } = Promise.withResolvers<void>()
        woken = promise
        wake = resolve
      }
      const told = woken
      // A thread that is done from now on says so; one that was before is not waited for.
      Atomics.store(common, COMMON.waiting, 1)
      if (of.some((place) => outcome(place) !== undefined)) return Promise.resolve()
      return told
    },

    release(place) {
      const { words, texts, made, used } = place
      const count = words[WORD.count] as number
      const state = stateOf(place)
      // A thread that was not broken off has wiped what it was given.
      if (state === STATE.free || state === STATE.failed)
        used.texts = Math.max(used.texts, texts.offsets[count] as number)
      // Of what was refused or broken off, nobody knows how far it came; of what was taken back there is nothing.
      if (state === STATE.done) used.made = Math.max(used.made, made.offsets[count] as number)
      else if (state !== STATE.free) used.made = made.bytes.length
      words[WORD.count] = 0
      Atomics.store(words, WORD.state, STATE.free)
      free.push(place)
      if (free.length === places.length) for (const { worker } of members) worker.unref()
    },

    tidy() {
      for (const { texts, made, used } of free) {
        wipeFront(texts.bytes, used.texts)
        wipeFront(made.bytes, used.made)
        used.texts = 0
        used.made = 0
      }
    },

    open,
    forget: (key) => send({ kind: 'forget', key }),

    close() {
      if (!closing) {
        closing = Promise.all([...members].map(end)).then(() => undefined)
        send({ kind: 'end' })
      }
      return closing
    },

    get isOver() {
      return closing !== undefined || members.size === 0
    },

    get up() {
      return Promise.all([...members].map(({ up }) => up)).then(() => undefined)
    },

    get running() {
      return members.size
    },
  }

  async function end({ worker }: Member): Promise<void> {
    const gone = new Promise((resolve) => worker.once('exit', resolve))
    worker.ref()
    const late = setTimeout(() => void worker.terminate(), GRACE_MS)
    await gone
    clearTimeout(late)
  }
}
