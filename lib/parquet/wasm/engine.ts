import { readFileSync } from 'node:fs'

/**
 * The compiled code of assembly/, instantiated: functions, and views of its memory. An instance holds one table of values
 * (value-table.ts); what keeps nothing between two calls shares one instance (`sharedEngine`). Its regions reserve addresses, not memory:
 * the system gives what is touched.
 */
export interface Engine {
  readonly places: Readonly<Record<Place, number>>
  /** The memory as it is now; asked for anew after `grow`. */
  bytes(): Buffer
  words(): Int32Array
  /** Makes the arena at least so many bytes longer. @throws RangeError where there is no more memory */
  grow(bytes: number): void
  uncompress(from: number, length: number, to: number, size: number): boolean
  literals(from: number, length: number, to: number): number
  hybrid(from: number, length: number, width: number, count: number, limit: number, to: number, wide: boolean): boolean
  encode(from: number, count: number, width: number, to: number): number
  wasTight(): boolean
  equalToLimit(): number
  entries(): number
  arenaTop(): number
  clear(salt: bigint): void
  take(bytes: number): number
  find(from: number, length: number, count: number, width: number): number
  findConsumed(): number
  sizeOf(slots: number, count: number): bigint
  emit(slots: number, count: number, to: number, room: number): number
  emittedCount(): number
  unlike(
    keys: number,
    keyBytes: number,
    width: number,
    out: number,
    outBytes: number,
    slots: number,
    count: number,
  ): number
}

/** In the order of `place` in assembly/index.ts. */
const PLACES = ['in', 'out', 'slots', 'entries', 'arena'] as const
type Place = (typeof PLACES)[number]

/** As assembly/layout.ts has them. */
export const IN_BYTES = 32 << 20
export const OUT_BYTES = 32 << 20
export const MAX_COUNT = 1 << 18
export const UNSET = -1
export const NULL = -2
const PAGE_BYTES = 65_536
/** Memory grows by a quarter, so that it grows seldom. */
const GROWTH = 1.25

const BINARY = new URL('./pages.wasm', import.meta.url)

let compiled: WebAssembly.Module | undefined
let shared: Engine | undefined

/** For calls that leave nothing behind. One for the thread: calls are synchronous. */
export function sharedEngine(): Engine {
  shared ??= newEngine()
  return shared
}

export function newEngine(): Engine {
  compiled ??= new WebAssembly.Module(readFileSync(BINARY))
  const { exports } = new WebAssembly.Instance(compiled, {})
  const { memory, place, ...functions } = exports as unknown as Omit<Engine, 'places' | 'bytes' | 'words' | 'grow'> & {
    memory: WebAssembly.Memory
    place(which: number): number
  }
  const places = Object.fromEntries(PLACES.map((name, i) => [name, place(i)])) as Record<Place, number>
  let bytes = Buffer.from(memory.buffer)
  let words = new Int32Array(memory.buffer)
  return {
    ...functions,
    places,
    bytes: () => bytes,
    words: () => words,
    grow(more) {
      const used = memory.buffer.byteLength - places.arena
      const pages = Math.ceil(Math.max(more, used * (GROWTH - 1)) / PAGE_BYTES) + 1
      memory.grow(pages)
      bytes = Buffer.from(memory.buffer)
      words = new Int32Array(memory.buffer)
    },
  }
}
