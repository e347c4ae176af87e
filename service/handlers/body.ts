import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import type { ProblemCode } from '../../lib/wire/problem.ts'

/** A request of either version of HTTP. */
export type Incoming = IncomingMessage | Http2ServerRequest

export interface BodyOptions {
  /** Aborted when the caller is. */
  readonly gone: AbortSignal
  /** Aborted when it takes too long. */
  readonly late?: AbortSignal
  /** Counts bytes against the server's memory; false where there is none left. */
  readonly take: (bytes: number) => boolean
}

/** @throws where the caller is gone */
export async function readBody(
  request: Incoming,
  { gone, late, take }: BodyOptions,
): Promise<Uint8Array | ProblemCode> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return 'request/too-large'
  const parts = gathered()
  return new Promise((resolve, reject) => {
    const give = (problem: ProblemCode) => {
      request.removeAllListeners('data')
      parts.clear()
      // The rest is read and thrown away, so that the caller gets to reading the answer; the request's timeout bounds it.
      request.resume()
      resolve(problem)
    }
    request.on('data', (chunk: Buffer) => {
      const problem =
        parts.bytes + chunk.length > MAX_BODY_BYTES
          ? 'request/too-large'
          : take(chunk.length)
            ? undefined
            : 'service/busy'
      if (problem) give(problem)
      else parts.add(chunk)
    })
    request.once('end', () => resolve(parts.whole()))
    request.once('error', reject)
    late?.addEventListener('abort', () => give('request/timeout'), { once: true })
    gone.addEventListener('abort', () => reject(gone.reason), { once: true })
    if (gone.aborted) reject(gone.reason)
  })
}

/** Chunks of at least so many bytes are kept as they come. */
const LARGE_CHUNK = 4096
const BLOCK = 65_536

/** The chunks of a body. Small ones are put together: a body of six million chunks of a byte each would take a hundred times its size. */
function gathered() {
  let parts: Buffer[] = []
  let block = Buffer.alloc(0)
  let used = 0
  let bytes = 0
  const closeBlock = () => {
    // A copy, as far as it was used, so that one byte does not keep a block.
    if (used > 0) parts.push(used === block.length ? block : Buffer.from(block.subarray(0, used)))
    used = 0
    block = Buffer.alloc(0)
  }
  return {
    get bytes() {
      return bytes
    },
    add(chunk: Buffer): void {
      bytes += chunk.length
      if (chunk.length >= LARGE_CHUNK) {
        closeBlock()
        parts.push(chunk)
        return
      }
      if (used + chunk.length > block.length) {
        closeBlock()
        block = Buffer.allocUnsafeSlow(BLOCK)
      }
      chunk.copy(block, used)
      used += chunk.length
    },
    clear(): void {
      parts = []
      block = Buffer.alloc(0)
      used = 0
    },
    whole(): Buffer {
      if (parts.length === 0) return block.subarray(0, used)
      closeBlock()
      return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, bytes)
    },
  }
}
