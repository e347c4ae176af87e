// Where things lie in an instance’s memory. Regions have the size that they may need at most; the system gives memory only for what
// is touched. Behind the last one comes the arena of keys and replacements, the only part that grows (value-table.ts).

/** Bytes that may be read or written behind the end of a region by wide loads and stores. */
export const SLACK: u32 = 64

// The first 64 KiB hold the compiler’s constants.
/** Bytes in: a page as it is stored. */
export const IN: usize = 0x10000
export const IN_BYTES: u32 = 32 << 20
/** Bytes out: a page without its compression, or the entries of a new one. */
export const OUT: usize = IN + IN_BYTES + SLACK
export const OUT_BYTES: u32 = 32 << 20
/** Numbers (u32) of values, one for each that was looked up. */
export const SLOTS: usize = OUT + OUT_BYTES + SLACK
export const MAX_COUNT: u32 = 1 << 18

/** Values in a table at most. */
export const MAX_ENTRIES: u32 = 1 << 22
/** Open addressing: hash in the upper half of a u64, number of the value plus one in the lower; 0 is free. At most half full. */
export const INDEX: usize = SLOTS + 4 * MAX_COUNT
export const FIRST_INDEX: u32 = 1 << 12
/** Of each value: its hash (u32). */
export const HASHES: usize = INDEX + 16 * MAX_ENTRIES
/** Of each value (u32 each): where its key begins and how long it is, where its replacement begins and how long it is. */
export const ENTRIES: usize = HASHES + 4 * MAX_ENTRIES
export const ENTRY_BYTES: u32 = 16
export const ARENA: usize = ENTRIES + ENTRY_BYTES * MAX_ENTRIES

/** In the place of a length: no replacement yet; the replacement is null. */
export const UNSET: u32 = 0xffffffff
export const NULL: u32 = 0xfffffffe
