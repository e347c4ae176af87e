import { readFileSync } from 'node:fs'

/**
 * The compiled code of assembly/, instantiated: functions, and views of its memory. An instance holds one table of values
 * (value-table.ts); what keeps nothing between two calls shares one instance (`sharedEngine`).
 */
export interface Engine extends Functions {
  /** Addresses: what is put in, what comes out, numbers of values, the arena. */
  readonly places: { readonly in: number; readonly out: number; readonly slots: number; readonly arena: number }
  readonly room: Room
  /** The memory as it is now; asked for anew after `grow`. */
  bytes(): Buffer<ArrayBuffer>
  words(): Int32Array
  /**
   * Makes the arena longer, by what a call found missing at least.
   * @throws RangeError where there is no more memory
   */
  grow(): void
}

/** Bytes that fit in at a time, and come out; numbers of values. */
export interface Room {
  readonly in: number
  readonly out: number
  readonly count: number
}

interface Functions {
  uncompress(from: number, length: number, to: number, size: number): boolean
  hashes(from: number, length: number, count: number, seed: number, to: number, base: number): number
  hybrid(from: number, length: number, width: number, count: number, limit: number, to: number, wide: boolean): boolean
  encode(from: number, count: number, width: number, to: number): number
  wasTight(): boolean
  equalToLimit(): number
  zeros(): number
  entries(): number
  entriesAt(): number
  blockFor(): number
  arenaTop(): number
  wanted(): number
  clear(salt: bigint, most: number): boolean
  take(bytes: number): number
  find(from: number, length: number, count: number, width: number, slots: number, prints: number): number
  findConsumed(): number
  sizeOf(slots: number, count: number): bigint
  emit(slots: number, count: number, to: number, room: number): number
  emittedCount(): number
  unlike(
    prints: number,
    slots: number,
    count: number,
    out: number,
    outBytes: number,
    pairs: number,
    most: number,
  ): number
}

interface Exports extends Functions {
  readonly memory: WebAssembly.Memory
  setup(inBytes: number, outBytes: number, count: number): void
  inAt(): number
  outAt(): number
  slotsAt(): number
  arenaAt(): number
}

/** In the place of a length, as assembly/layout.ts has them. */
export const UNSET = -1
export const NULL = -2
/** For pages: nearly all have a megabyte, those of some writers a row group. The larger memory, 17 MB of V8's own account, is taken when one of these comes. */
const PAGES: Room = { in: 5 << 18, out: 5 << 18, count: 1 << 18 }
const LARGE_PAGES: Room = { in: 8 << 20, out: 8 << 20, count: 1 << 18 }
const WASM_PAGE_BYTES = 65_536
/** Memory grows by a quarter, so that it grows seldom. */
const GROWTH = 0.25

const BINARY = new URL('./pages.wasm', import.meta.url)

let compiled: WebAssembly.Module | undefined
let shared: Engine | undefined
let large: Engine | undefined

/**
 * For calls that leave nothing behind. They are the thread's: calls are synchronous.
 * @param bytes that are put in, or come out; there may be room for fewer
 */
export function sharedEngine(bytes = 0): Engine {
  if (bytes > PAGES.in) {
    large ??= newEngine(LARGE_PAGES)
    return large
  }
  shared ??= newEngine(PAGES)
  return shared
}

export function newEngine(room: Room): Engine {
  compiled ??= new WebAssembly.Module(readFileSync(BINARY))
  const { memory, setup, inAt, outAt, slotsAt, arenaAt, ...functions } = new WebAssembly.Instance(compiled, {})
    .exports as unknown as Exports
  setup(room.in, room.out, room.count)
  const places = { in: inAt(), out: outAt(), slots: slotsAt(), arena: arenaAt() }
  const growTo = (size: number) => memory.grow(Math.ceil((size - memory.buffer.byteLength) / WASM_PAGE_BYTES))
  growTo(places.arena)
  let bytes = Buffer.from(memory.buffer as ArrayBuffer)
  let words = new Int32Array(memory.buffer)
  return {
    ...functions,
    places,
    room,
    bytes: () => bytes,
    words: () => words,
    grow() {
      const top = Math.max(functions.arenaTop(), places.arena)
      growTo(top + Math.max(functions.wanted(), (top - places.arena) * GROWTH) + WASM_PAGE_BYTES)
      bytes = Buffer.from(memory.buffer as ArrayBuffer)
      words = new Int32Array(memory.buffer)
    },
  }
}
