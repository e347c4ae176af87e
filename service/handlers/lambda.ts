import { PROBLEM_TYPE, type ProblemCode, statusOf, writeProblem } from '../../lib/wire/problem.ts'
import { bodyText } from '../answers.ts'
import type { App, ServiceAnswer } from '../app.ts'
import { type EventOptions, requestOf } from './events.ts'

/** What a gateway makes an HTTP answer of; the same for all forms of events. */
export interface LambdaAnswer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly isBase64Encoded: false
}

export interface LambdaOptions {
  /** The service; asked for at each event, made when it is first there. */
  readonly ready: () => Promise<ReadyService>
  /** Is told why the service could not be made. */
  readonly failed: (error: unknown) => void
}

export interface ReadyService extends EventOptions {
  readonly app: App
  /** Takes over what has changed by now of what the service knows, where that was read long enough ago. */
  current(): Promise<void>
  /** Reads it again at once, unless that was done just now. @returns whether anything has changed */
  refresh(): Promise<boolean>
}

/**
 * The service as a function: events in, answers out, the same app as behind the HTTP server. It throws nothing: a gateway would tell its caller
 * nothing but "Internal server error", and the platform would log the error with its message.
 */
export function lambdaHandler({ ready, failed }: LambdaOptions): (event: unknown) => Promise<LambdaAnswer> {
  return async (event) => {
    try {
      const service = await ready()
      const request = requestOf(event, service)
      if (!request) return problem('request/malformed', 'the event is none of API Gateway or of a function URL')
      await service.current()
      const answer = await service.app.handle(request)
      // A key or a caller that came after the last look: looked for at once, whatever else the refusal may be for.
      if (MAY_BE_BEHIND.has(answer.status) && (await service.refresh()))
        return answerOf(await service.app.handle(request))
      return answerOf(answer)
    } catch (error) {
      failed(error)
      return problem('service/failed')
    }
  }
}

/** Unknown callers; unknown domains and keys; pseudonyms of keys that are not known here. */
const MAY_BE_BEHIND = new Set([403, 404, 422])

function answerOf(answer: ServiceAnswer): LambdaAnswer {
  const { status, headers } = answer
  return {
    statusCode: status,
    headers: { ...headers, 'x-content-type-options': 'nosniff' },
    body: bodyText(answer),
    isBase64Encoded: false,
  }
}

/**
 * Bytes of an answer as the platform counts them: the body is a text in JSON there, so each of its quotes and backslashes is two.
 */
export function bytesAsAnswer(body: Uint8Array): number {
  let escaped = 0
  for (let at = 0; at < body.length; at++) {
    const c = body[at]
    if (c === QUOTE || c === BACKSLASH) escaped++
  }
  return body.length + escaped + AROUND_BYTES
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Status and headers of our own, of which none is long. */
const AROUND_BYTES = 4_096

function problem(code: ProblemCode, detail?: string): LambdaAnswer {
  const body = writeProblem({ code, ...(detail !== undefined && { detail }) })
  return answerOf({ status: statusOf(code), headers: { 'content-type': PROBLEM_TYPE }, body })
}
