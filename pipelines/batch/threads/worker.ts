/** A thread of a run: rewrites files and row groups, and asks the run's client for pseudonyms. */
import { enableCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'

// A thread does not inherit it.
enableCompileCache()
const { FileThread } = await import('./file-thread.ts')

if (parentPort) {
  const port = parentPort
  // What was made for a message is not needed here any more: it is handed over, not copied.
  const made = (message: FromThread) =>
    message.type === 'pieces' ? message.pieces.flatMap((piece) => ('bytes' in piece ? [piece.bytes.buffer] : [])) : []
  const thread = new FileThread(workerData as ThreadOptions, (message) => port.postMessage(message, made(message)))
  port.on('message', (message: ToThread) => thread.receive(message))
}
