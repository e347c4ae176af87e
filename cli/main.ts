/** The only file of the command line that touches the process: its streams, signals, environment and exit status. */
import { createInterface } from 'node:readline'
import { systemClock } from '../lib/core/clock.ts'
import { keepHeapSmall } from '../lib/core/heap.ts'
import { runCli } from './run.ts'

keepHeapSmall()

const stop = new AbortController()
let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined

for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => {
    // The first asks for an orderly end; whoever sends a second one means now.
    if (stoppedBy) process.exit(status(name))
    stoppedBy = name
    stop.abort(new Error(name))
  })

const code = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock(),
  random: Math.random,
  signal: stop.signal,
  tty: process.stderr.isTTY === true,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  lines: () => createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY }),
})
// A run that was told to stop and stopped early says so by the signal's own status; one that had ended anyway keeps its own.
process.exitCode = stoppedBy && code !== 0 ? status(stoppedBy) : code

function status(signal: 'SIGINT' | 'SIGTERM'): number {
  return signal === 'SIGINT' ? 130 : 143
}
