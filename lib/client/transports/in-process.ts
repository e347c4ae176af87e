import { setImmediate as turn } from 'node:timers/promises'
import type { CallBytes } from '../bytes.ts'
import type { PseudonymAnswer, PseudonymRequest, Question, Transport } from '../pseudonymizer.ts'

/**
 * A service in the same process, given as a function, so that this layer needs to know none. Each call starts in a turn of its own:
 * a function that computes without waiting would otherwise keep signals and progress from being heard until the last of its requests.
 * @param answerBytes the same from bytes to bytes, where the service has that
 */
export function inProcessTransport(
  answer: (request: PseudonymRequest) => PseudonymAnswer | Promise<PseudonymAnswer>,
  answerBytes?: CallBytes,
): Transport {
  return {
    call: inTurn(answer),
    ...(answerBytes && { callBytes: inTurn(answerBytes) }),
  }
}

function inTurn<R extends Question, A>(answer: (request: R) => A | Promise<A>): (request: R) => Promise<A> {
  return async (request) => {
    request.signal?.throwIfAborted()
    await turn()
    request.signal?.throwIfAborted()
    return answer(request)
  }
}
