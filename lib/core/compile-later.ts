import { setFlags } from './v8-flags.ts'

/** Of Node that are known to have the flags: V8 writes to stderr of one that it does not know. bin/pseudolake.js has their defaults. */
const KNOWN: ReadonlySet<string> = new Set(['22', '24'])
/** As often as V8's own. */
const TIMES = 5

/**
 * V8 compiles a function anew, and better, after so many calls of it. A run of half a second spent a tenth of its CPU on that and had half of
 * it back: what is done for every value is WebAssembly, and the rest is called for pages and chunks. Later costs a long run some milliseconds.
 */
export function compileLater(): void {
  if (!KNOWN.has(process.versions.node.split('.')[0] as string)) return
  setFlags(
    [
      `--invocation-count-for-maglev=${400 * TIMES}`,
      `--invocation-count-for-maglev-osr=${100 * TIMES}`,
      `--invocation-count-for-turbofan=${3000 * TIMES}`,
      `--invocation-count-for-osr=${500 * TIMES}`,
    ].join(' '),
  )
}
