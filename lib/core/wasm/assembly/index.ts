// What is done to every text of a batch (lib/core/texts.ts), compiled to WebAssembly: nothing is kept between two calls, and no call makes
// room for itself: callers say where things lie (engine.ts). Each area has 64 bytes behind it that may be read and written.

export { sizes, write, scan } from './json'
export { forms } from './forms'
export { firstPlaces } from './places'
