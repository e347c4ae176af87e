import type { KeyFormat, KeyMaterial } from '../../../lib/crypto/kernel.ts'
import type { KernelName } from '../../../lib/crypto/open.ts'
import type { SharedPlaces } from './places.ts'

/** What the main thread tells a worker thread. Work is not among it: that lies in shared memory (`places.ts`). */
export type Message =
  | ({ readonly kind: 'open' } & SharedKey)
  /** Wipe this key. */
  | { readonly kind: 'forget'; readonly key: number }
  /** Wipe all keys and end. */
  | { readonly kind: 'end' }

/** What it answers. */
export type Answer =
  /** From now on it looks for work. */
  | { readonly kind: 'up' }
  /** The main thread waited for this: the state of a place has changed. */
  | { readonly kind: 'done' }
  /** The name of an error, which is of no use but in a log: what the error says may quote a value. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface WorkerSettings {
  readonly kernel: KernelName
  /** Its own number, from 0 on. */
  readonly thread: number
  readonly places: SharedPlaces
}

/** A key whose bytes all threads see: no copy of it travels, and wiping it wipes it for all. */
export interface SharedKey {
  readonly key: number
  readonly id: string
  readonly domain: string
  readonly format: KeyFormat
  /** How many threads have yet to open it, as an i32; then v2: aead, mac. original: secretKey, nonceKey. */
  readonly shared: SharedArrayBuffer
  /** How many bytes the first of the two has. */
  readonly first: number
  /** Of the original format. */
  readonly nonceStrPos: number
}

const HEAD_BYTES = 4

/** Copies the key's bytes to where all threads see them. */
export function shareKey(material: KeyMaterial, key: number): SharedKey {
  const { id, domain, format } = material
  const [a, b] = material.format === 'v2' ? [material.aead, material.mac] : [material.secretKey, material.nonceKey]
  const shared = new SharedArrayBuffer(HEAD_BYTES + a.length + b.length)
  const bytes = new Uint8Array(shared, HEAD_BYTES)
  bytes.set(a)
  bytes.set(b, a.length)
  const nonceStrPos = material.format === 'v2' ? 0 : material.nonceStrPos
  return { key, id, domain, format, shared, first: a.length, nonceStrPos }
}

/** Before threads are told of it. The last of them to open it wipes it. */
export function expectThreads({ shared }: SharedKey, threads: number): void {
  Atomics.store(new Int32Array(shared, 0, 1), 0, threads)
}

/** A thread's: views of the shared bytes; a kernel copies them and overwrites its copies. */
export function materialOf({ id, domain, format, shared, first, nonceStrPos }: SharedKey): KeyMaterial {
  const a = new Uint8Array(shared, HEAD_BYTES, first)
  const b = new Uint8Array(shared, HEAD_BYTES + first)
  return format === 'v2'
    ? { format, id, domain, aead: a, mac: b }
    : { format, id, domain, secretKey: a, nonceKey: b, nonceStrPos }
}

/** A thread's, once it has a kernel of its own. */
export function opened(key: SharedKey): void {
  if (Atomics.sub(new Int32Array(key.shared, 0, 1), 0, 1) === 1) wipeKey(key)
}

export function wipeKey({ shared }: SharedKey): void {
  new Uint8Array(shared, HEAD_BYTES).fill(0)
}
