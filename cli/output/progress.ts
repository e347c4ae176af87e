import type { Clock } from '../../lib/core/clock.ts'

export interface ProgressState {
  readonly label: string
  /** Done and in all, in whatever unit; the ratio is shown, unless 0 says that it is not known. */
  readonly done: number
  readonly total: number
  /** What else is worth knowing: "12 of 100 files, 3,400,000 rows". */
  readonly detail: string
}

export interface Progress {
  update(state: ProgressState): void
  /** Clears the bar, so that what follows starts on a clean line. */
  end(): void
}

const EVERY_MS = { bar: 100, line: 10_000 }
/** How often it is looked whether something is to be shown though nothing was done: a slow service, a large file. */
const LOOK_MS = 1000

/**
 * A bar on a terminal, a line every ten seconds elsewhere, nothing when quiet. From the first update on it goes on by itself, also
 * where none comes for long, until `end`.
 */
export function progress(options: {
  clock: Clock
  quiet: boolean
  tty: boolean
  write: (text: string) => void
}): Progress {
  const { clock, quiet, tty, write } = options
  if (quiet) return { update: () => {}, end: () => {} }
  const started = clock.now()
  // The first line of a log comes after one interval: a short run prints none.
  let last = tty ? Number.NEGATIVE_INFINITY : started
  let drawn = false
  const ended = new AbortController()
  let state: ProgressState | undefined

  function show({ label, done, total, detail }: ProgressState): void {
    const now = clock.now()
    if (now - last < (tty ? EVERY_MS.bar : EVERY_MS.line)) return
    last = now
    const ratio = total === 0 ? 0 : Math.min(1, done / total)
    const elapsed = (now - started) / 1000
    const left = ratio > 0.02 ? `, about ${seconds((elapsed / ratio) * (1 - ratio))} left` : ''
    const share = total === 0 ? '' : ` ${percent(ratio)}`
    if (tty && total === 0) {
      write(`\r\x1b[2K${label} ${detail}`)
      drawn = true
    } else if (tty) {
      const cells = Math.round(ratio * 24)
      write(`\r\x1b[2K${label} ${'█'.repeat(cells)}${'░'.repeat(24 - cells)} ${percent(ratio)}  ${detail}${left}`)
      drawn = true
    } else write(`${label}${share}, ${detail}, ${seconds(elapsed)} so far${left}\n`)
  }

  async function goOn(): Promise<void> {
    while (!ended.signal.aborted) {
      await clock.sleep(LOOK_MS, ended.signal).catch(() => {})
      if (state && !ended.signal.aborted) show(state)
    }
  }

  return {
    update(next) {
      if (!state) void goOn()
      state = next
      show(next)
    },
    end() {
      ended.abort()
      if (drawn) write('\r\x1b[2K')
      drawn = false
    },
  }
}

function percent(ratio: number): string {
  return `${Math.floor(ratio * 100)
    .toString()
    .padStart(3)} %`
}

function seconds(s: number): string {
  return s < 90 ? `${Math.round(s)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`
}
