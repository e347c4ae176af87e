// Where things lie in the cache's memory. The first 64 KiB hold the compiler's constants; then what comes in and goes out with a call, then
// the table of slots, then the entries. ../engine.ts asks for the addresses it needs (`place`).

/** Texts of one call. */
export const MOST: u32 = 2048
export const TEXT: usize = 0x10000
export const TEXT_BYTES: u32 = 0x20000
/** Where each text starts (u32), and where the last one ends. */
export const TEXT_OFFSETS: usize = 0x30100
/** What the texts became. Room for the pseudonyms of any texts that fit TEXT. */
export const OUT: usize = 0x33000
export const OUT_BYTES: u32 = 0x48000
export const OUT_OFFSETS: usize = 0x7b100
/** Places of texts that nothing is known of (u32). */
export const MISSING: usize = 0x7e000
/** Of each text its hash (u64), then where its entry may be. */
export const HASHES: usize = 0x80000
export const SLOTS: usize = 0x84000

/** One cache line of slots: as many as are looked at for a text, whatever others there are. */
export const BUCKET_SLOTS: u32 = 4
/** u32 part of the hash, u32 place among the entries, u64 position. */
export const SLOT_BYTES: u32 = 16
