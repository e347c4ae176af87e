/**
 * Snappy’s format (google/snappy, format_description.txt), into exactly `size` bytes.
 * Reads and writes may go up to 16 bytes beyond both ends; both regions have that room.
 * @returns false where the bytes are not what they should be
 */
export function uncompress(src: usize, length: u32, dst: usize, size: u32): bool {
  const end = src + length
  const last = dst + size
  let at = src
  let declared: u64 = 0
  for (let shift: u64 = 0; ; shift += 7) {
    if (at >= end || shift > 28) return false
    const b = load<u8>(at++)
    declared |= (u64(b) & 0x7f) << shift
    if (b < 0x80) break
  }
  if (declared != u64(size)) return false
  let out = dst
  while (at < end) {
    const tag = u32(load<u8>(at++))
    const kind = tag & 3
    if (kind == 0) {
      let n = tag >> 2
      if (n >= 60) {
        const more = n - 59
        if (at + more > end) return false
        n = load<u32>(at) & (more == 4 ? 0xffffffff : (1 << (8 * more)) - 1)
        at += more
      }
      if (n >= u32(last - out) || n >= u32(end - at)) return false
      n++
      if (n <= 16) v128.store(out, v128.load(at))
      else memory.copy(out, at, n)
      at += n
      out += n
      continue
    }
    let n: u32
    let offset: u32
    if (kind == 1) {
      if (at >= end) return false
      n = ((tag >> 2) & 7) + 4
      offset = ((tag >> 5) << 8) | load<u8>(at)
      at += 1
    } else {
      n = (tag >> 2) + 1
      const width: usize = kind == 2 ? 2 : 4
      if (at + width > end) return false
      offset = kind == 2 ? load<u16>(at) : load<u32>(at)
      at += width
    }
    if (offset == 0 || offset > u32(out - dst) || n > u32(last - out)) return false
    const from = out - offset
    // A copy has at most 64 bytes.
    if (offset >= 16) for (let i: u32 = 0; i < n; i += 16) v128.store(out + i, v128.load(from + i))
    else for (let i: u32 = 0; i < n; i++) store<u8>(out + i, load<u8>(from + i))
    out += n
  }
  return out == last
}
