// What the gate does for every value, compiled to WebAssembly: as JavaScript it was compiled for longer than a run of a second has work for it.
// Callers check that what they put in fits (engine.ts).

export { laneAt, tableBytes, setup, setFull, grow, capacity, entries, merge, listed, kept, alike, why } from './table'
export { malformed, long } from './texts'
export { gather } from './gather'
