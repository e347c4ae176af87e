import { readFileSync } from 'node:fs'

/** The compiled code of assembly/, instantiated: a table of hashes each, or what keeps nothing between two calls. */
export interface Functions {
  laneAt(lane: number): number
  tableBytes(places: number): number
  setup(words: number, places: number): void
  setFull(): void
  grow(): void
  capacity(): number
  entries(): number
  merge(count: number, from: number, mode: number, base: number): number
  listed(): number
  kept(): number
  alike(): number
  why(): number
  malformed(bytes: number, from: number, to: number, chosen: number, count: number): number
  gather(of: number, chosen: number, count: number): void
  long(bytes: number, from: number, to: number, chosen: number, count: number, least: number): number
}

export interface Engine {
  readonly functions: Functions
  /** The memory as it is now; asked for anew after `reserve`. */
  readonly bytes: Uint8Array
  readonly words: Int32Array
  /** Makes the memory so long at least. @throws RangeError where there is no more */
  reserve(bytes: number): void
}

/** Hashes that go through one call. */
export const LANE = 1 << 14

const WASM_PAGE_BYTES = 65_536
const BINARY = new URL('./judge.wasm', import.meta.url)

/** Where memory is free in an engine that is no table: in front of it are the compiler's constants. */
export const START = 0x10000

let compiled: WebAssembly.Module | undefined
let shared: Engine | undefined

/** For calls that leave nothing behind. They are the thread's: calls are synchronous. */
export function sharedEngine(): Engine {
  shared ??= newEngine()
  return shared
}

export function newEngine(): Engine {
  compiled ??= new WebAssembly.Module(readFileSync(BINARY))
  const { memory, ...functions } = new WebAssembly.Instance(compiled, {}).exports as unknown as Functions & {
    readonly memory: WebAssembly.Memory
  }
  let bytes = new Uint8Array(memory.buffer)
  let words = new Int32Array(memory.buffer)
  return {
    functions,
    get bytes() {
      return bytes
    },
    get words() {
      return words
    },
    reserve(size) {
      const missing = size - bytes.length
      if (missing <= 0) return
      memory.grow(Math.ceil(missing / WASM_PAGE_BYTES))
      bytes = new Uint8Array(memory.buffer)
      words = new Int32Array(memory.buffer)
    },
  }
}
