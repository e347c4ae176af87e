import { getHeapSpaceStatistics } from 'node:v8'
import { setFlags } from './v8-flags.ts'

/**
 * How much the old generation may grow before it is looked through again. Left alone V8 does so for each 17 MB of buffers that pass through,
 * in other threads too: a third of a run's CPU time over unique values. There are some 12 MB of objects in it.
 */
const OLD_GROWTH_PERCENT = 300
/** Of the young generation's two halves together; from here on it stays as it is. */
const YOUNG_BYTES = 8 << 20
const LOOK_EVERY_MS = 5
/** Under other flags than its defaults V8 refuses the code that comes with Node, 17 ms of CPU at a start; so this one waits until most is loaded. */
const SET_AFTER_MS = 200
let growth = OLD_GROWTH_PERCENT
let growBy: ((percent: number) => void) | undefined

/** Where there is little memory: less of what nobody needs any more may lie about, for more CPU time. Before or after `keepHeapSmall`, which it needs. */
export function growHeapBy(percent: number): void {
  growth = percent
  growBy?.(percent)
}

/**
 * Keeps V8's young generation small. Left alone it grows to tens of megabytes under a stream of short-lived strings, and half of what passes
 * through is promoted before it dies: a run over 1.5 M unique values then takes 610 MB, this way 470 MB (test/regression/memory.test.ts).
 * Held at its first megabyte it would take less still, and a third more CPU. The limit can't be set once Node runs, the growth can; so
 * it is watched until it is there. Called first by a program's composition root; it is the process's setting.
 */
export function keepHeapSmall(): void {
  setTimeout(() => {
    growBy = (percent) => setFlags(`--heap-growing-percent=${percent}`)
    growBy(growth)
  }, SET_AFTER_MS).unref()
  const look = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    if (young && young.space_size < YOUNG_BYTES) return
    setFlags('--semi-space-growth-factor=1')
    clearInterval(look)
  }, LOOK_EVERY_MS)
  look.unref()
}
