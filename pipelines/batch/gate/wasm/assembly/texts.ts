import { form } from '../../../../../lib/core/wasm/assembly/forms'

/**
 * Lists those of `count` texts that are not spelled as a pseudonym: numbers at `out`, which may be `from`.
 * @param from where in `bytes` each begins, and ends
 * @returns how many they are
 */
export function malformed(bytes: usize, from: usize, to: usize, count: u32, out: usize): u32 {
  let found: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const at = usize(i) << 2
    if (form(bytes + load<u32>(from + at), bytes + load<u32>(to + at)) == 0) store<u32>(out + (usize(found++) << 2), i)
  }
  return found
}

/** The same, of those that have so many characters at least. */
export function long(bytes: usize, from: usize, to: usize, count: u32, least: u32, out: usize): u32 {
  let found: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const at = usize(i) << 2
    if (hasCharacters(bytes + load<u32>(from + at), bytes + load<u32>(to + at), least))
      store<u32>(out + (usize(found++) << 2), i)
  }
  return found
}

/** Bytes of UTF-8 that begin a character are counted until there are enough. */
function hasCharacters(from: usize, to: usize, least: u32): bool {
  if (u32(to - from) < least) return false
  let count: u32 = 0
  for (let at = from; at < to && count < least; at++) count += u32((load<u8>(at) & 0xc0) != 0x80)
  return count == least
}
