import type { Duplex } from 'node:stream'
import { PROBLEM_TYPE, type ProblemCode, writeProblem } from '../../lib/wire/problem.ts'

/** What is no HTTP, too long or too slow never becomes a request; it gets an answer all the same. */
export function refuseUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const [line, code] = UNREADABLE[error.code ?? ''] ?? (['400 Bad Request', 'request/malformed'] as const)
  const body = writeProblem({ code })
  socket.end(
    `HTTP/1.1 ${line}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
  // Whoever was slow on purpose does not close its side either.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

/** For the other side to read why. */
const LINGER_MS = 1_000

const UNREADABLE: Readonly<Record<string, readonly [line: string, code: ProblemCode]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'request/head-too-large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'request/timeout'],
}
