// What lib/parquet does for every value, compiled to WebAssembly. Nothing here holds a key; bytes of values do not leave the memory but
// through value-table.ts. Callers check that what they put in fits in its region; everything that bytes say is checked here.

export { setup, inAt, outAt, slotsAt, arenaAt } from './layout'
export { uncompress } from './snappy'
export { hashes } from './hash'
export { hybrid, encode, wasTight, equalToLimit, zeros } from './hybrid'
export {
  entriesAt,
  blockFor,
  entries,
  arenaTop,
  wanted,
  clear,
  take,
  find,
  findConsumed,
  sizeOf,
  emit,
  emittedCount,
} from './table'
export { unlike } from './pairs'
