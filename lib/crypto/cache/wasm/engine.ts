import { readFileSync } from 'node:fs'

/** The compiled code of assembly/, with memory of its own: what is kept lies there, outside V8's heap. */
export interface CacheEngine {
  readonly memory: Buffer<ArrayBuffer>
  readonly words: Uint32Array<ArrayBuffer>
  /** Addresses. */
  readonly places: Readonly<Record<Place, number>>
  setKey(low: bigint, high: bigint): void
  recall(n: number, owner: number, now: number): number
  keep(n: number, owner: number, now: number, until: number): void
  expire(now: number): void
  clear(): void
  forget(n: number, textBytes: number, outBytes: number): void
}

type Place = (typeof PLACES)[number]

/** In the order of `place` in assembly/index.ts. */
const PLACES = ['text', 'textOffsets', 'out', 'outOffsets', 'missing', 'slots'] as const

/** Of one call, as assembly/layout.ts has them; the code's own checks hold whatever stands here. */
export const MOST = 2048
export const TEXT_BYTES = 0x20000
export const OUT_BYTES = 0x48000

/** A bucket of four slots, and as many entries of the most common size as it points to. */
const BUCKET_BYTES = 64
/** The share of the memory that the slots have: twice as many as there are entries of a short text. */
const SLOTS_SHARE = 1 / 4
const WASM_PAGE_BYTES = 65_536
/** Behind the entries, for wide loads. */
const SLACK = 64

const BINARY = new URL('./cache.wasm', import.meta.url)

/**
 * @param bytes of its memory altogether
 * @throws Error where the binary was not built, or this machine has no WebAssembly SIMD; RangeError where there is no memory
 */
export function cacheEngine(bytes: number): CacheEngine {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(BINARY)), {})
  const functions = exports as unknown as Omit<CacheEngine, 'memory' | 'places' | 'words'> & {
    memory: WebAssembly.Memory
    place(which: number): number
    layOut(buckets: number, bytes: number): void
  }
  const places = Object.fromEntries(PLACES.map((name, i) => [name, functions.place(i)])) as Record<Place, number>
  const pages = Math.floor(bytes / WASM_PAGE_BYTES) - functions.memory.buffer.byteLength / WASM_PAGE_BYTES
  if (pages < 1) throw new RangeError(`cache: ${bytes} bytes are too few`)
  functions.memory.grow(pages)
  const buffer = functions.memory.buffer as ArrayBuffer
  const room = buffer.byteLength - places.slots - SLACK
  const buckets = 2 ** Math.floor(Math.log2((room * SLOTS_SHARE) / BUCKET_BYTES))
  functions.layOut(buckets, room - buckets * BUCKET_BYTES)
  return { ...functions, memory: Buffer.from(buffer), words: new Uint32Array(buffer), places }
}
