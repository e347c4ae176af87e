import { setImmediate as turn } from 'node:timers/promises'
import type { PseudonymAnswer, PseudonymRequest, Transport } from '../pseudonymizer.ts'

/**
 * A service in the same process, given as a function, so that this layer needs to know none. Each call starts in a turn of its own:
 * a function that computes without waiting would otherwise keep signals and progress from being heard until the last of its requests.
 */
export function inProcessTransport(
  answer: (request: PseudonymRequest) => PseudonymAnswer | Promise<PseudonymAnswer>,
): Transport {
  return {
    async call(request) {
      request.signal?.throwIfAborted()
      await turn()
      request.signal?.throwIfAborted()
      return answer(request)
    },
  }
}
