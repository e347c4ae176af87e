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
  malformed(bytes: number, from: number, to: number, count: number, out: number): number
  long(bytes: number, from: number, to: number, count: number, least: number, out: number): number
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

let compiled: WebAssembly.Module | undefined

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
