/** Puts in the place of each of `count` positions at `chosen` the word that stands there in `from`. */
export function gather(from: usize, chosen: usize, count: u32): void {
  const end = chosen + (usize(count) << 2)
  for (let at = chosen; at < end; at += 4) store<u32>(at, load<u32>(from + (usize(load<u32>(at)) << 2)))
}
