/** A thread of a run: rewrites files and row groups, and asks the run's client for pseudonyms. */
import { enableCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'

// A thread does not inherit it.
enableCompileCache()
const [{ FileThread }, { lazyAws }, { jobStorage }, { systemClock }] = await Promise.all([
  import('./file-thread.ts'),
  import('../../aws.ts'),
  import('../../storages.ts'),
  import('../../../lib/core/clock.ts'),
])

if (parentPort) {
  const port = parentPort
  // What was made for a message is not needed here any more: it is handed over, not copied.
  const made = (message: FromThread) =>
    message.type === 'pieces' ? message.pieces.flatMap((piece) => ('bytes' in piece ? [piece.bytes.buffer] : [])) : []
  const { env } = process
  const places = { env, clock: systemClock(), random: Math.random, aws: lazyAws(env).aws }
  const thread = new FileThread(
    workerData as ThreadOptions,
    (message) => port.postMessage(message, made(message)),
    (job, signal) => jobStorage(job, { ...places, signal }),
  )
  port.on('message', (message: ToThread) => thread.receive(message))
}
