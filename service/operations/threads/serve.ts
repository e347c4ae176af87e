import { parentPort, workerData } from 'node:worker_threads'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import { discard } from '../../../lib/core/texts.ts'
import type { KeyMaterial, PseudonymKernel } from '../../../lib/crypto/kernel.ts'
import { chooseKernel } from '../../../lib/crypto/open.ts'
import type { Answer, Job, Message, SharedKey, WorkerSettings } from './protocol.ts'

/** The worker thread's part: the kernel, tried on known answers as everywhere, and one job after the other. */

const port = parentPort
if (!port) throw new Error('this is a worker thread’s module')
const openKernel = chooseKernel((workerData as WorkerSettings).kernel, () => undefined)
const kernels = new Map<number, PseudonymKernel>()
let nonces: Uint8Array | undefined

port.on('message', (message: Message) => {
  if (message.kind === 'open') kernels.set(message.key, openKernel(materialOf(message), { randomBytes: takeNonces }))
  else if (message.kind === 'work') answer(message)
  else if (message.kind === 'forget') forget(message.key)
  else {
    for (const key of [...kernels.keys()]) forget(key)
    port.close()
  }
})

function answer(job: Job): void {
  const answer = work(job)
  const buffers = 'bytes' in answer ? [answer.bytes.buffer, answer.offsets.buffer] : []
  port?.postMessage(answer, buffers as ArrayBuffer[])
}

function work({ job, key, direction, bytes, offsets, nonces: given }: Job): Answer {
  try {
    const kernel = kernels.get(key)
    if (!kernel) return { job, failed: 'no such key' }
    nonces = given
    const batch = { bytes, offsets }
    const made =
      direction === 'pseudonymize'
        ? kernel.pseudonymizeBytes(batch, { deterministic: given === undefined })
        : kernel.reidentifyBytes(batch)
    return { job, bytes: made.bytes, offsets: made.offsets as Uint32Array }
  } catch (error) {
    if (!isPseudolakeError(error)) return { job, failed: error instanceof Error ? error.name : typeof error }
    return { job, refusal: { code: error.code, message: error.message, context: error.context } }
  } finally {
    nonces = undefined
    discard(bytes)
  }
}

/** Of those that came with the job, each once. */
function takeNonces(count: number): Uint8Array {
  if (!nonces || nonces.length < count) throw new RangeError(`expected ${count} bytes of nonces`)
  const taken = nonces.subarray(0, count)
  nonces = nonces.subarray(count)
  return taken
}

function forget(key: number): void {
  kernels.get(key)?.dispose()
  kernels.delete(key)
}

/** Views of the shared bytes; a kernel copies them and overwrites its copies. */
function materialOf({ id, domain, format, bytes, first, nonceStrPos }: SharedKey): KeyMaterial {
  const a = new Uint8Array(bytes, 0, first)
  const b = new Uint8Array(bytes, first)
  return format === 'v2'
    ? { format, id, domain, aead: a, mac: b }
    : { format, id, domain, secretKey: a, nonceKey: b, nonceStrPos }
}
