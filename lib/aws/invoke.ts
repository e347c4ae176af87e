/** Calls a Lambda function, with what Lambda refuses told in the words of the service's client. */
import type { LambdaClient } from '@aws-sdk/client-lambda'
import { type ErrorCode, PseudolakeError } from '../core/errors.ts'

export interface Invoked {
  readonly functionError?: string
  readonly payload: Uint8Array
}

/**
 * @param arn ARN of the function, with or without version or alias
 * @returns calls it once; @throws PseudolakeError `service/*`, `aws/no-credentials`
 */
export function lambdaInvoker(
  arn: string,
  client: Pick<LambdaClient, 'send'>,
): (event: string, signal: AbortSignal) => Promise<Invoked> {
  return async (event, signal) => {
    const { InvokeCommand } = await import('@aws-sdk/client-lambda')
    try {
      const { FunctionError, Payload } = await client.send(
        // Without the log's tail: a function may log what it was sent.
        new InvokeCommand({ FunctionName: arn, InvocationType: 'RequestResponse', LogType: 'None', Payload: event }),
        { abortSignal: signal },
      )
      return {
        payload: Payload ?? new Uint8Array(),
        ...(FunctionError !== undefined && { functionError: FunctionError }),
      }
    } catch (error) {
      throw failure(error, arn)
    }
  }
}

/** By the names of Lambda's own errors; what is not among them goes by its status. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  TooManyRequestsException: 'service/throttled',
  EC2ThrottledException: 'service/throttled',
  ThrottlingException: 'service/throttled',
  RequestTooLargeException: 'service/too-large',
  AccessDeniedException: 'service/denied',
  KMSAccessDeniedException: 'service/denied',
  ResourceNotFoundException: 'service/refused',
  InvalidRequestContentException: 'service/refused',
  InvalidParameterValueException: 'service/refused',
  UnrecognizedClientException: 'aws/no-credentials',
  ExpiredTokenException: 'aws/no-credentials',
  InvalidSignatureException: 'aws/no-credentials',
  TimeoutError: 'service/timeout',
}

function failure(error: unknown, arn: string): PseudolakeError {
  if (error instanceof PseudolakeError) return error
  const { name, code, $metadata, retryAfterSeconds } = (error ?? {}) as {
    readonly name?: unknown
    readonly code?: unknown
    readonly $metadata?: { readonly httpStatusCode?: number }
    readonly retryAfterSeconds?: unknown
  }
  const status = $metadata?.httpStatusCode ?? 0
  const reason = [name, code].find((each) => typeof each === 'string' && each !== 'Error' && /^\w{1,80}$/.test(each))
  const told = String(reason ?? 'unknown error')
  const found = Object.hasOwn(CODES, told) ? CODES[told] : undefined
  const kind: ErrorCode =
    found ?? (status === 403 ? 'service/denied' : status === 429 ? 'service/throttled' : 'service/unavailable')
  const wait = Number(retryAfterSeconds)
  const context = {
    service: arn,
    reason: told,
    ...(status > 0 && { status }),
    ...(retryAfterSeconds !== undefined && wait >= 0 && { retryAfterMs: wait * 1000 }),
  }
  if (kind === 'service/denied') {
    const action = told === 'KMSAccessDeniedException' ? 'kms:Decrypt' : 'lambda:InvokeFunction'
    return new PseudolakeError(kind, `${arn}: ${action} is not allowed`, {
      ...context,
      action,
      hint: `Grant ${action} on ${action === 'kms:Decrypt' ? 'the key of the function' : arn}; docs/aws.md has the policy.`,
    })
  }
  return new PseudolakeError(kind, `${arn} could not be called (${told})`, context)
}
