import { setFlagsFromString } from 'node:v8'

/** The command line takes the flags back while it loads something, and finds here what they are otherwise (bin/pseudolake.js). */
const FLAGS = Symbol.for('pseudolake.v8-flags')

/** Sets V8's flags for the process, from here on. */
export function setFlags(flags: string): void {
  const shared = globalThis as { [FLAGS]?: string }
  shared[FLAGS] = `${shared[FLAGS] ?? ''} ${flags}`
  setFlagsFromString(flags)
}
