// Where things lie in the kernel’s memory. Fixed: nothing is allocated, so memory stays flat and every bound is a constant.
// lib/crypto/wasm.ts asks for the addresses it needs (`place`).

/** Messages in one call. Enough to hide the cost of a call; small enough for the processor's second-level cache. */
export const MESSAGES: u32 = 2048
/** Bytes of one message, as lib/crypto/kernel.ts has it. */
export const MESSAGE_BYTES: u32 = 65536
/** Above this a message fills all eight lanes by itself instead of keeping seven others waiting. */
export const SOLO_BYTES: u32 = 512

// The first 64 KiB hold the compiler's constants.
/** Text in: identifiers in UTF-8, or pseudonyms in ASCII, one behind the other. */
export const TEXT: usize = 0x10000
export const TEXT_BYTES: u32 = 0x80000
/** Text out: pseudonyms, or identifiers whose tags are right. */
export const OUT: usize = 0x90100
export const OUT_BYTES: u32 = 0x90000
/** Bytes (u32) of each text; the way back replaces them with the bytes of the plaintext. */
export const LENGTHS: usize = 0x130000
/** A byte each: {@link BAD}, {@link WIDE}. */
export const FLAGS: usize = 0x132000
export const BAD: u32 = 1
/** Not all ASCII. */
export const WIDE: u32 = 2
/** 16 bytes each: four zeros, then the nonce; so it is block 0 of key derivation already. */
export const NONCES: usize = 0x133000
/** 96 bytes each: six blocks to encrypt under the master key, then what came out. */
export const DERIVED: usize = 0x13b000
/** Pseudonyms decoded: nonce, ciphertext, tag. */
export const SEALED: usize = 0x16b000
export const SEALED_BYTES: u32 = 0x90000
/** Where each of them starts (u32). */
export const STARTS: usize = 0x1fb100

/** Of the key in use: the HMAC's key, then its two states (64 bytes); what precedes the text in the HMAC; AAD; the pseudonym's prefix. */
export const MAC_KEY: usize = 0x1fe000
export const MAC_STATES: usize = 0x1fe040
export const MAC_PREFIX: usize = 0x1fe100
export const AAD: usize = 0x1fe400
export const PREFIX: usize = 0x1fe800
/** Of each of the three. */
export const KEY_TEXT_BYTES: u32 = 640

/** Eight lanes: blocks, bit planes, round keys; and what each lane works on. */
export const BLOCKS: usize = 0x1ff000
export const PLANES: usize = 0x1ff080
export const WORK: usize = 0x1ff100
export const ROUND_KEYS: usize = 0x1ff200
export const TAGS: usize = 0x1ffa00
export const SCHEDULE: usize = 0x1ffb00
export const SHA_STATE: usize = 0x200000
export const DIGEST: usize = 0x200100
/** Lanes of texts: data starts 16 bytes in, aligned, with the nonce right before it. */
export const LANES: usize = 0x201000
export const LANE_BYTES: u32 = 640
/** Four lanes of padded HMAC input. */
export const HASHED: usize = 0x212000
export const HASHED_LANE_BYTES: u32 = 0x10400
/** 36 pages of 64 KiB. */
export const END: usize = 0x260000
