import { readFileSync } from 'node:fs'

/**
 * The compiled kernel (assembly/), instantiated: its functions, its memory, and where in it things lie. One for the whole process: calls
 * are synchronous, so two keys never meet in it, and its 2.4 MB don't grow with the number of keys.
 */
export interface Engine {
  readonly memory: Buffer
  readonly places: Readonly<Record<Place, number>>
  /** Bytes of each text in work. */
  readonly lengths: Uint32Array
  keyStates(bytes: number): void
  nonces(n: number, prefixBytes: number, counted: boolean, digits: number): void
  utf8Lengths(n: number, total: number): void
  derivationBlocks(n: number): void
  seal(n: number, aadBytes: number, prefixBytes: number, url: boolean): number
  unspell(n: number, prefixBytes: number, url: boolean): void
  open(n: number, aadBytes: number): number
  wipe(n: number, textBytes: number, outBytes: number, sealedBytes: number, longest: number): void
}

type Place = (typeof PLACES)[number]

/** In the order of `place` in assembly/index.ts. */
const PLACES = [
  'text',
  'out',
  'lengths',
  'flags',
  'nonces',
  'derived',
  'macKey',
  'macStates',
  'macPrefix',
  'aad',
  'prefix',
] as const

/** As assembly/layout.ts has them; `place` and the bounds checks of the kernel hold whatever stands here. */
export const MESSAGES = 2048
export const TEXT_BYTES = 0x80000
export const OUT_BYTES = 0x90000
export const BAD = 1
export const WIDE = 2

const BINARY = new URL('./kernel.wasm', import.meta.url)

let engine: Engine | undefined

/** @throws Error where the binary was not built, or this machine has no WebAssembly SIMD */
export function loadEngine(): Engine {
  engine ??= instantiate(readFileSync(BINARY))
  return engine
}

function instantiate(binary: BufferSource): Engine {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary), {})
  const functions = exports as unknown as Omit<Engine, 'memory' | 'places' | 'lengths'> & {
    memory: WebAssembly.Memory
    place(which: number): number
  }
  const places = Object.fromEntries(PLACES.map((name, i) => [name, functions.place(i)])) as Record<Place, number>
  const { buffer } = functions.memory
  return {
    ...functions,
    memory: Buffer.from(buffer),
    places,
    lengths: new Uint32Array(buffer, places.lengths, MESSAGES),
  }
}
