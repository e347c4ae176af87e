// What the kernel exports. lib/crypto/wasm.ts calls it and says in which order.
import { checkLengths, derivationBlocks, open, seal, unspell, wipe } from './gcm-siv'
import { deterministicNonces, keyStates } from './hmac'
import {
  AAD, DERIVED, FLAGS, KEY_TEXT_BYTES, LENGTHS, MAC_KEY, MAC_PREFIX, MAC_STATES, MESSAGES, MESSAGE_BYTES, NONCES, OUT, PREFIX, TEXT,
  TEXT_BYTES,
} from './layout'

export { derivationBlocks, keyStates, open, seal, unspell, wipe }

export function nonces(n: u32, prefixBytes: u32, counted: bool, digits: i32): void {
  checkLengths(n, MESSAGE_BYTES)
  if (prefixBytes > KEY_TEXT_BYTES || digits > 20) unreachable()
  deterministicNonces(n, prefixBytes, counted, digits)
}

/** Replaces LENGTHS, in UTF-16 units, by the bytes of each text at TEXT. The texts are well-formed and take `total` bytes. */
export function utf8Lengths(n: u32, total: u32): void {
  if (n > MESSAGES || total > TEXT_BYTES) unreachable()
  let p = TEXT
  const end = TEXT + total
  for (let m: u32 = 0; m < n; m++) {
    const start = p
    let units = load<u32>(LENGTHS + m * 4)
    while (units > 0 && p < end) {
      const lead = load<u8>(p)
      const size: u32 = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
      units -= size === 4 ? 2 : 1
      p += size
    }
    store<u32>(LENGTHS + m * 4, (p - start) as u32)
  }
  if (p !== end) unreachable()
}

/** Addresses, in the order of `PLACES` in lib/crypto/wasm.ts. */
export function place(which: u32): u32 {
  switch (which) {
    case 0: return TEXT as u32
    case 1: return OUT as u32
    case 2: return LENGTHS as u32
    case 3: return FLAGS as u32
    case 4: return NONCES as u32
    case 5: return DERIVED as u32
    case 6: return MAC_KEY as u32
    case 7: return MAC_STATES as u32
    case 8: return MAC_PREFIX as u32
    case 9: return AAD as u32
    case 10: return PREFIX as u32
    default: return 0
  }
}
