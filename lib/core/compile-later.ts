import { setFlags } from './v8-flags.ts'

/** V8's defaults in versions of Node that are known to have the flags; of others it says on stderr which it does not know. bin/pseudolake.js has them too. */
const OSR: Readonly<Record<string, number>> = { 22: 800, 24: 500 }
/** Never, for as long as it holds. */
const TIMES = 1000
const FOR_MS = 1000

/**
 * V8 compiles a function anew, and better, after so many calls of it. A run of half a second spent a tenth of its CPU on that and had half of
 * it back: what is done for every value is WebAssembly, and the rest is called for pages and chunks. So it waits for a second, and then
 * does as it does by itself: a longer run loses some milliseconds.
 */
export function compileLater(): void {
  const osr = OSR[process.versions.node.split('.')[0] as string]
  if (osr === undefined) return
  const after = (times: number) =>
    [
      `--invocation-count-for-maglev=${400 * times}`,
      `--invocation-count-for-maglev-osr=${100 * times}`,
      `--invocation-count-for-turbofan=${3000 * times}`,
      `--invocation-count-for-osr=${osr * times}`,
    ].join(' ')
  setFlags(after(TIMES))
  setTimeout(() => setFlags(after(1)), FOR_MS).unref()
}
