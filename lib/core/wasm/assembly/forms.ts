// Whether texts look like pseudonyms (lib/wire/forms.ts): canonical base64 of nonce, text and tag, or `p2.kkkk.` and canonical base64url.

export const NONE: u8 = 0
export const ORIGINAL: u8 = 1
export const V2: u8 = 2

/** Nonce and tag, over the empty identifier. */
const MIN_BYTES: u32 = 28
const MIN_DIGITS: u32 = 38
const PREFIX: u32 = 8
const EQUALS: u8 = 0x3d

/** The form of each text, put at `out` (a byte each). */
export function forms(bytes: usize, offsets: usize, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const from = load<u32>(offsets + (usize(i) << 2))
    const to = load<u32>(offsets + (usize(i) << 2), 4)
    store<u8>(out + i, form(bytes + from, bytes + to))
  }
}

export function form(from: usize, to: usize): u8 {
  const length = u32(to - from)
  if (length < MIN_DIGITS) return NONE
  if (startsV2(from)) return length >= PREFIX + MIN_DIGITS && canonical(from + PREFIX, to, true) ? V2 : NONE
  if ((length & 3) != 0) return NONE
  let end = to
  if (load<u8>(end - 1) == EQUALS) end--
  if (end < to && load<u8>(end - 1) == EQUALS) end--
  return canonical(from, end, false) ? ORIGINAL : NONE
}

function startsV2(at: usize): bool {
  // `p2.` and `.`
  if ((load<u32>(at) & 0xffffff) != 0x2e3270 || load<u8>(at, 7) != 0x2e) return false
  for (let i: usize = 3; i < 7; i++) {
    const c = load<u8>(at + i)
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39))) return false
  }
  return true
}

/** Whether digits, without padding, are the one spelling of at least MIN_BYTES bytes: unused bits are zero. */
function canonical(from: usize, to: usize, url: bool): bool {
  const digits = u32(to - from)
  const spare = digits & 3
  if (spare == 1 || u32((u64(digits) * 3) >> 2) < MIN_BYTES) return false
  for (let at = from; at + 16 <= to; at += 16) if (!allDigits(v128.load(at), url)) return false
  // There are more than 16: the last ones, of which some were looked at.
  if (!allDigits(v128.load(to - 16), url)) return false
  const unused: u32 = spare == 2 ? 15 : spare == 3 ? 3 : 0
  return (valueOf(load<u8>(to - 1), url) & unused) == 0
}

// @ts-ignore: decorator
@inline
function allDigits(v: v128, url: bool): bool {
  const letters = between(v128.or(v, i8x16.splat(0x20)), 0x61, 0x7a)
  const numbers = between(v, 0x30, 0x39)
  const others = url
    ? v128.or(i8x16.eq(v, i8x16.splat(0x2d)), i8x16.eq(v, i8x16.splat(0x5f)))
    : v128.or(i8x16.eq(v, i8x16.splat(0x2b)), i8x16.eq(v, i8x16.splat(0x2f)))
  return i8x16.all_true(v128.or(v128.or(letters, numbers), others))
}

// @ts-ignore: decorator
@inline
function between(v: v128, least: i8, most: i8): v128 {
  return i8x16.le_u(i8x16.sub(v, i8x16.splat(least)), i8x16.splat(most - least))
}

/** The six bits of a digit. */
function valueOf(c: u32, url: bool): u32 {
  if (c >= 0x61) return c - 0x61 + 26
  if (c == 0x5f) return 63
  if (c >= 0x41) return c - 0x41
  if (c >= 0x30 && c <= 0x39) return c - 0x30 + 52
  return url || c == 0x2b ? 62 : 63
}
