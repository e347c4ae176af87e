import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import type { PseudonymKernel } from '../../../lib/crypto/kernel.ts'
import { chooseKernel } from '../../../lib/crypto/open.ts'
import { COMMON, changeState, type Place, STATE, stateOf, viewPlaces, WORD, wipeFront } from './places.ts'
import { type Answer, type Message, materialOf, opened, type WorkerSettings } from './protocol.ts'

/**
 * The worker thread's part: the kernel, tried on known answers as everywhere, and one part of a batch after the other. It never comes
 * back to its event loop: it sleeps in `Atomics.wait` until there is news, so that nothing lies between a part and the next one.
 */

if (!parentPort) throw new Error('this is a worker thread’s module')
const from = parentPort
const { kernel: name, thread, places: shared } = workerData as WorkerSettings
const openKernel = chooseKernel(name, () => undefined)
const { common, places } = viewPlaces(shared)
const kernels = new Map<number, PseudonymKernel>()
let nonces: Uint8Array | undefined
let heard = 0
let ended = false

say({ kind: 'up' })
while (!ended) {
  const seen = Atomics.load(common, COMMON.news)
  listen()
  if (!ended && !workOnOne()) Atomics.wait(common, COMMON.news, seen)
}
for (const key of [...kernels.keys()]) forget(key)

function say(answer: Answer): void {
  from.postMessage(answer)
}

function listen(): void {
  const messages = Atomics.load(common, COMMON.messages)
  if (messages === heard) return
  heard = messages
  for (let next = receiveMessageOnPort(from); next; next = receiveMessageOnPort(from)) {
    const message = next.message as Message
    if (message.kind === 'open') {
      kernels.set(message.key, openKernel(materialOf(message), { randomBytes: takeNonces }))
      opened(message)
    } else if (message.kind === 'forget') forget(message.key)
    else ended = true
  }
}

/** Works on the part that was handed out first: they get smaller towards the end. @returns whether there was one */
function workOnOne(): boolean {
  for (let place = first(); place; place = first()) {
    // Another thread, or who handed it out and took it back, was faster.
    if (!changeState(place, STATE.ready, STATE.taken + thread)) continue
    // Its key may have come since.
    listen()
    const state = work(place)
    Atomics.store(place.words, WORD.state, state)
    if (Atomics.exchange(common, COMMON.waiting, 0) === 1) say({ kind: 'done' })
    return true
  }
  return false
}

function first(): Place | undefined {
  let found: Place | undefined
  for (const place of places) if (stateOf(place) === STATE.ready && (!found || isBefore(place, found))) found = place
  return found
}

/** By turns, which go round. */
function isBefore(a: Place, b: Place): boolean {
  return (((a.words[WORD.turn] as number) - (b.words[WORD.turn] as number)) | 0) < 0
}

function work({ words, texts, nonces: given, made }: Place): number {
  const count = words[WORD.count] as number
  const offsets = texts.offsets.subarray(0, count + 1)
  try {
    const kernel = kernels.get(words[WORD.key] as number)
    // It was wiped meanwhile, which the main thread knows.
    if (!kernel) return STATE.refused
    nonces = given
    const batch = { bytes: texts.bytes, offsets }
    const deterministic = words[WORD.random] === 0
    if (words[WORD.back] === 1) kernel.reidentifyBytes(batch, { into: made })
    else kernel.pseudonymizeBytes(batch, { deterministic, into: made })
    return STATE.done
  } catch (error) {
    if (isPseudolakeError(error)) return STATE.refused
    say({ kind: 'failed', reason: error instanceof Error ? error.name : typeof error })
    return STATE.failed
  } finally {
    nonces = undefined
    wipeFront(texts.bytes, offsets[count] as number)
  }
}

/** Of those that came with the part, each once. */
function takeNonces(count: number): Uint8Array {
  if (!nonces || nonces.length < count) throw new RangeError(`expected ${count} bytes of nonces`)
  const taken = nonces.subarray(0, count)
  nonces = nonces.subarray(count)
  return taken
}

function forget(key: number): void {
  kernels.get(key)?.dispose()
  kernels.delete(key)
}
