/**
 * Loaded before a program (`node --import`): writes the most memory that its process ever had, in KiB, into the file that PEAK names. What getrusage
 * tells begins with the memory of who started the process.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const { PEAK } = process.env
if (isMainThread && PEAK)
  process.once('exit', () => {
    const [, kib = ''] = /VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    writeFileSync(PEAK, kib)
  })
