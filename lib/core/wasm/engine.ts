import { readFileSync } from 'node:fs'

/**
 * The compiled code of assembly/, instantiated once for the thread: calls are synchronous, and nothing is kept between two of them. What a
 * call works on is put into its memory first ({@link areas}), and what comes of it is copied out.
 */
export interface TextEngine {
  sizes(bytes: number, offsets: number, count: number, out: number): number
  write(bytes: number, offsets: number, count: number, out: number): number
  scan(src: number, length: number, out: number, offsets: number, most: number): number
  forms(bytes: number, offsets: number, count: number, out: number): void
  firstPlaces(
    bytes: number,
    offsets: number,
    count: number,
    slots: number,
    mask: number,
    hashes: number,
    places: number,
    seed: bigint,
  ): number
}

export interface Areas {
  readonly engine: TextEngine
  /** Addresses, each a multiple of 16. */
  readonly at: readonly number[]
  /** The whole memory, until the next call of {@link areas}. */
  readonly bytes: Buffer<ArrayBuffer>
  readonly words: Uint32Array<ArrayBuffer>
}

/** The first 64 KiB hold the compiler's constants. */
const START = 0x10000
/** Behind each area, for wide loads and stores. */
const SLACK = 64
const WASM_PAGE_BYTES = 65_536

const BINARY = new URL('./texts.wasm', import.meta.url)

interface Loaded {
  readonly engine: TextEngine
  readonly memory: WebAssembly.Memory
  bytes: Buffer<ArrayBuffer>
  words: Uint32Array<ArrayBuffer>
}

let loaded: Loaded | undefined

/** Whether there is WebAssembly SIMD on this machine, and the binary was built: else whoever can does without. */
export function isThere(): boolean {
  try {
    loaded ??= load()
    return true
  } catch {
    return false
  }
}

/**
 * Room for so many bytes each, one behind the other; what was in the memory before is of no use any more.
 * @throws RangeError where there is no more memory
 */
export function areas(...sizes: readonly number[]): Areas {
  loaded ??= load()
  let top = START
  const at = sizes.map((size) => {
    const from = top
    top = (top + size + SLACK + 15) & ~15
    return from
  })
  const missing = top - loaded.bytes.length
  if (missing > 0) {
    loaded.memory.grow(Math.ceil(missing / WASM_PAGE_BYTES))
    loaded.bytes = Buffer.from(loaded.memory.buffer as ArrayBuffer)
    loaded.words = new Uint32Array(loaded.memory.buffer as ArrayBuffer)
  }
  return { engine: loaded.engine, at, bytes: loaded.bytes, words: loaded.words }
}

function load(): Loaded {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(BINARY)), {})
  const { memory, ...engine } = exports as unknown as TextEngine & { readonly memory: WebAssembly.Memory }
  const buffer = memory.buffer as ArrayBuffer
  return { engine, memory, bytes: Buffer.from(buffer), words: new Uint32Array(buffer) }
}
