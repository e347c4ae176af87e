// Lists of texts in JSON (RFC 8259), as programs write them: without white space.

const QUOTE: u8 = 0x22
const COMMA: u8 = 0x2c
const BACKSLASH: u8 = 0x5c
const SPACE: u8 = 0x20
/** `\u00` and `3d`, `3D`: how Gson writes `=`. */
const ESCAPE: u32 = 0x3030755c
const EQUALS_LOWER: u16 = 0x6433
const EQUALS_UPPER: u16 = 0x4433

/** Which of 16 bytes stand in a string of JSON as something else: quote, backslash and controls. */
// @ts-ignore: decorator
@inline
function special(bytes: v128): u32 {
  return u32(
    i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(bytes, i8x16.splat(i8(QUOTE))), i8x16.eq(bytes, i8x16.splat(i8(BACKSLASH)))),
        i8x16.lt_u(bytes, i8x16.splat(i8(SPACE))),
      ),
    ),
  )
}

/** The letter behind the backslash, where a byte has one; else 0. */
// @ts-ignore: decorator
@inline
function letter(byte: u32): u8 {
  if (byte == 0x22 || byte == 0x5c) return u8(byte)
  if (byte == 0x08) return 0x62
  if (byte == 0x09) return 0x74
  if (byte == 0x0a) return 0x6e
  if (byte == 0x0c) return 0x66
  if (byte == 0x0d) return 0x72
  return 0
}

/** What JSON adds to the bytes `[from, to)`. */
function more(from: usize, to: usize): u32 {
  let sum: u32 = 0
  for (let at = from; at < to; at += 16) {
    let mask = special(v128.load(at))
    if (to - at < 16) mask &= (1 << u32(to - at)) - 1
    for (; mask != 0; mask &= mask - 1) sum += letter(load<u8>(at + ctz(mask))) != 0 ? 1 : 5
  }
  return sum
}

/** Bytes of each text in JSON, without its quotes, put at `out` (u32 each). @returns of all of them */
export function sizes(bytes: usize, offsets: usize, count: u32, out: usize): u32 {
  let sum: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const from = load<u32>(offsets + (usize(i) << 2))
    const to = load<u32>(offsets + (usize(i) << 2), 4)
    const size = to - from + more(bytes + from, bytes + to)
    store<u32>(out + (usize(i) << 2), size)
    sum += size
  }
  return sum
}

/** The texts with their quotes, commas between them. @returns bytes written */
export function write(bytes: usize, offsets: usize, count: u32, out: usize): u32 {
  let to = out
  for (let i: u32 = 0; i < count; i++) {
    if (i > 0) store<u8>(to++, COMMA)
    store<u8>(to++, QUOTE)
    let at = bytes + load<u32>(offsets + (usize(i) << 2))
    const end = bytes + load<u32>(offsets + (usize(i) << 2), 4)
    while (at < end) {
      const some = v128.load(at)
      v128.store(to, some)
      const left = u32(min<usize>(end - at, 16))
      const mask = special(some) & ((1 << left) - 1)
      if (mask == 0) {
        at += left
        to += left
        continue
      }
      const n = ctz(mask)
      to = escape(load<u8>(at + n), to + n)
      at += n + 1
    }
    store<u8>(to++, QUOTE)
  }
  return u32(to - out)
}

function escape(byte: u32, out: usize): usize {
  store<u8>(out, BACKSLASH)
  const l = letter(byte)
  if (l != 0) {
    store<u8>(out, l, 1)
    return out + 2
  }
  store<u32>(out, ESCAPE)
  store<u8>(out, 0x30 + u8(byte >> 4), 4)
  const low = byte & 15
  store<u8>(out, u8(low < 10 ? 0x30 + low : 0x57 + low), 5)
  return out + 6
}

/**
 * Reads `"…", "…"`, white space where JSON has it, of which no text has an escape but that of `=`.
 * @param out gets the texts, one behind the other, `length` bytes at most
 * @param offsets gets their ends (u32 each) behind a 0, of `most` texts at most
 * @returns how many; -1 where it is anything else, or more
 */
export function scan(src: usize, length: u32, out: usize, offsets: usize, most: u32): i32 {
  const end = src + length
  let at = afterSpace(src, end)
  let to = out
  let count: u32 = 0
  store<u32>(offsets, 0)
  while (at < end) {
    if (count == most) return -1
    if (count > 0) {
      if (load<u8>(at) != COMMA) return -1
      at = afterSpace(at + 1, end)
    }
    if (at >= end || load<u8>(at++) != QUOTE) return -1
    for (;;) {
      const some = v128.load(at)
      v128.store(to, some)
      const mask = special(some)
      if (mask == 0) {
        at += 16
        to += 16
        if (at > end) return -1
        continue
      }
      at += ctz(mask)
      to += ctz(mask)
      if (at >= end) return -1
      const byte = load<u8>(at)
      if (byte == QUOTE) break
      const digits = load<u16>(at, 4)
      if (load<u32>(at) != ESCAPE || (digits != EQUALS_LOWER && digits != EQUALS_UPPER)) return -1
      at += 6
      if (at > end) return -1
      store<u8>(to++, 0x3d)
    }
    at = afterSpace(at + 1, end)
    count++
    store<u32>(offsets + (usize(count) << 2), u32(to - out))
  }
  return i32(count)
}

/** RFC 8259 §2. */
// @ts-ignore: decorator
@inline
function afterSpace(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at)
    if (byte != SPACE && byte != 0x0a && byte != 0x0d && byte != 0x09) break
    at++
  }
  return at
}
