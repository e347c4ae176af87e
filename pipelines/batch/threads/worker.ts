/** A thread of a run: rewrites one file after the other, and asks the run's client for pseudonyms. */
import { enableCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'

// A thread does not inherit it.
enableCompileCache()
const { FileThread } = await import('./file-thread.ts')

if (parentPort) {
  const port = parentPort
  const thread = new FileThread(workerData as ThreadOptions, (message: FromThread) => port.postMessage(message))
  port.on('message', (message: ToThread) => thread.receive(message))
}
