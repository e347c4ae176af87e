/**
 * Large bodies are not hashed for the signature where nobody can change them on their way: over TLS, and on this machine. The SDK hashes every
 * body (SHA-256), and the store does it again. On AWS a CRC-32 still goes with each of them.
 */
import type { S3Client } from '@aws-sdk/client-s3'
import { isLoopback } from '../core/proxy.ts'

/** Below, hashing costs less than a request by far, and what a commit rests on is signed whole. */
const LEAST_BYTES = 1 << 20

interface Outgoing {
  readonly protocol: string
  readonly hostname: string
  readonly headers: Record<string, string>
  readonly body?: unknown
}

/** @param client whose requests are signed from now on without their bodies, where that is safe */
export function leaveLargeBodiesUnsigned({ middlewareStack }: S3Client): void {
  middlewareStack.add(
    (next) => (args) => {
      const { protocol, hostname, headers, body } = args.request as Outgoing
      const safe = protocol === 'https:' || isLoopback(hostname)
      // A body that the SDK makes a stream of has a word of its own here.
      if (safe && body instanceof Uint8Array && body.length >= LEAST_BYTES)
        headers['x-amz-content-sha256'] ??= 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', name: 'pseudolakeUnsignedPayload', priority: 'low' },
  )
}
