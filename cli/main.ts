/** The only file of the command line that touches the process: its streams, signals, environment and exit status. */
import { systemClock } from '../lib/core/clock.ts'
import { keepHeapSmall } from '../lib/core/heap.ts'
import { runCli } from './run.ts'

keepHeapSmall()

const stop = new AbortController()
let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined

/** A wrapper that passes signals on and a terminal that sends them to the whole group deliver one wish twice. */
const SAME_WISH_MS = 1000
let stoppedAt = 0

for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => {
    // The first asks for an orderly end; whoever sends a later one means now.
    if (stoppedBy && performance.now() - stoppedAt > SAME_WISH_MS) process.exit(status(name))
    if (stoppedBy) return
    stoppedBy = name
    stoppedAt = performance.now()
    stop.abort(new Error(name))
  })

// Who read the output may leave, as `| head` does: what is at work goes on to its end, and its status says what came of it.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

const code = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock(),
  random: Math.random,
  signal: stop.signal,
  hangups: (listener) => {
    process.on('SIGHUP', listener)
    return () => void process.off('SIGHUP', listener)
  },
  tty: process.stderr.isTTY === true,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  // Few commands read what is typed.
  lines: () =>
    process
      .getBuiltinModule('node:readline')
      .createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY }),
})
// A run that was told to stop and stopped early says so by the signal's own status; one that had ended anyway keeps its own.
process.exitCode = stoppedBy && code !== 0 ? status(stoppedBy) : code

function status(signal: 'SIGINT' | 'SIGTERM'): number {
  return signal === 'SIGINT' ? 130 : 143
}
