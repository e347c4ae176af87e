// What lib/parquet does for every value, compiled to WebAssembly. Nothing here holds a key; bytes of values do not leave the memory but
// through value-table.ts. Callers check that what they put in fits in its region; everything that bytes say is checked here.

export { uncompress, literals } from './snappy'
export { hybrid, encode, wasTight, equalToLimit } from './hybrid'
export { entries, arenaTop, clear, take, find, findConsumed, sizeOf, emit, emittedCount, unlike } from './table'

import { ARENA, ENTRIES, IN, OUT, SLOTS } from './layout'

/** Address of IN, OUT, SLOTS, ENTRIES, ARENA, in this order. */
export function place(which: i32): usize {
  if (which == 0) return IN
  if (which == 1) return OUT
  if (which == 2) return SLOTS
  if (which == 3) return ENTRIES
  return ARENA
}
