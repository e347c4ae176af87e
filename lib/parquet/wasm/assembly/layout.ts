// Where things lie in an instance’s memory: what is put in, what comes out, numbers of values, and behind them the arena, which grows.

/** Bytes that may be read or written behind the end of a region by wide loads and stores. */
const SLACK: u32 = 64

/** The first 64 KiB hold the compiler’s constants. */
const START: usize = 0x10000

let bytesIn: u32 = 0
let bytesOut: u32 = 0
let numbers: u32 = 0

/** Once, before anything else. @param count numbers (u32) of values */
export function setup(inBytes: u32, outBytes: u32, count: u32): void {
  bytesIn = inBytes
  bytesOut = outBytes
  numbers = count
}

export function inAt(): usize {
  return START
}

export function outAt(): usize {
  return START + bytesIn + SLACK
}

export function slotsAt(): usize {
  return (outAt() + bytesOut + SLACK + 15) & ~15
}

export function arenaAt(): usize {
  return (slotsAt() + (usize(numbers) << 2) + SLACK + 15) & ~15
}

/** In the place of a length: no replacement yet; the replacement is null. */
export const UNSET: u32 = 0xffffffff
export const NULL: u32 = 0xfffffffe
