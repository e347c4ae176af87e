import { form } from '../../../../../lib/core/wasm/assembly/forms'

/**
 * Lists those of `count` texts that are not spelled as a pseudonym, by their positions in `chosen`, whose place the list takes.
 * @param from where in `bytes` each of all texts begins, and ends
 * @param chosen numbers of texts
 * @returns how many they are
 */
export function malformed(bytes: usize, from: usize, to: usize, chosen: usize, count: u32): u32 {
  let found: u32 = 0
  for (let k: u32 = 0; k < count; k++) {
    const i = usize(load<u32>(chosen + (usize(k) << 2))) << 2
    if (form(bytes + load<u32>(from + i), bytes + load<u32>(to + i)) == 0)
      store<u32>(chosen + (usize(found++) << 2), k)
  }
  return found
}

/** The same, of those that have so many characters at least. */
export function long(bytes: usize, from: usize, to: usize, chosen: usize, count: u32, least: u32): u32 {
  let found: u32 = 0
  for (let k: u32 = 0; k < count; k++) {
    const i = usize(load<u32>(chosen + (usize(k) << 2))) << 2
    if (hasCharacters(bytes + load<u32>(from + i), bytes + load<u32>(to + i), least))
      store<u32>(chosen + (usize(found++) << 2), k)
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
