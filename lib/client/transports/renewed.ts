import { isPseudolakeError } from '../../core/errors.ts'
import { bytesOf, overBytes } from '../bytes.ts'
import type { Transport } from '../pseudonymizer.ts'

/** A credential that may be changed while it is in use, as a rotated API key is. */
export interface Renewable {
  /** As it is known. */
  get(): Promise<string>
  /** Asked for again where it comes from; one request for all who ask meanwhile. */
  renew(): Promise<string>
}

/**
 * Tries a call that was denied once more where the credential has changed meanwhile. Where it has not, nothing is tried again: the service
 * has refused the right one, and a key that is wrong a thousand times locks others out.
 */
export function renewed(transport: Transport, credential: Renewable): Transport {
  const calling = bytesOf(transport)
  return {
    ...transport,
    ...overBytes(async (request) => {
      const used = await credential.get()
      try {
        return await calling(request)
      } catch (error) {
        if (!isPseudolakeError(error, 'service/denied')) throw error
        const now = await credential.get()
        // The service's own words say more than that its key could not be read again.
        if (now === used && (await credential.renew().catch(() => used)) === used) throw error
        request.signal?.throwIfAborted()
        return calling(request)
      }
    }),
  }
}
