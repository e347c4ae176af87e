/** What Kinesis refuses, in the words of the error table. Pure. */
import { type ErrorCode, PseudolakeError } from '../core/errors.ts'

/** By the names of the API's errors; what is not among them goes by its status. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ProvisionedThroughputExceededException: 'kinesis/throttled',
  LimitExceededException: 'kinesis/throttled',
  KMSThrottlingException: 'kinesis/throttled',
  ThrottlingException: 'kinesis/throttled',
  ThrottledException: 'kinesis/throttled',
  RequestLimitExceeded: 'kinesis/throttled',
  ResourceNotFoundException: 'kinesis/not-found',
  AccessDeniedException: 'kinesis/denied',
  // An operator has to act; no later attempt goes better by itself.
  KMSAccessDeniedException: 'kinesis/denied',
  KMSDisabledException: 'kinesis/denied',
  KMSInvalidStateException: 'kinesis/denied',
  KMSNotFoundException: 'kinesis/denied',
  KMSOptInRequired: 'kinesis/denied',
  UnrecognizedClientException: 'aws/no-credentials',
  InvalidClientTokenId: 'aws/no-credentials',
  InvalidSignatureException: 'aws/no-credentials',
  IncompleteSignatureException: 'aws/no-credentials',
  IncompleteSignature: 'aws/no-credentials',
  MissingAuthenticationTokenException: 'aws/no-credentials',
  ExpiredTokenException: 'aws/no-credentials',
  InternalFailure: 'kinesis/unavailable',
  InternalFailureException: 'kinesis/unavailable',
  ServiceUnavailable: 'kinesis/unavailable',
}

/** What no later attempt changes: OpenSSL’s verification results, and Node’s own for a host name that does not match. */
const CERTIFICATE = /CERT|ISSUER|SELF_SIGNED|VERIFY/

/**
 * An error of the SDK or of wire.ts, told by its name and status; what the service says in words is not repeated.
 * @param action of the API: `GetRecords`
 */
export function kinesisFailure(error: unknown, action: string, stream?: string): PseudolakeError {
  if (error instanceof PseudolakeError) return error
  const { name, code, $metadata } = (error ?? {}) as {
    readonly name?: unknown
    readonly code?: unknown
    readonly $metadata?: { readonly httpStatusCode?: number }
  }
  const status = $metadata?.httpStatusCode ?? 0
  const named = [name, code].find((each) => typeof each === 'string' && each !== 'Error' && /^\w{1,80}$/.test(each))
  const reason = String(named ?? (status > 0 ? `status ${status}` : 'unknown error'))
  const of = stream === undefined ? '' : `stream ${stream}: `
  const context = {
    action: `kinesis:${action}`,
    reason,
    ...(stream !== undefined && { stream }),
    ...(status > 0 && { status }),
  }
  const told = (kind: ErrorCode, what: string) => new PseudolakeError(kind, `${of}${what}`, context)
  if (typeof code === 'string' && CERTIFICATE.test(code))
    return told('config/invalid', `the certificate of Kinesis’ endpoint is not trusted (${code})`)
  const known = Object.hasOwn(CODES, reason) ? CODES[reason] : undefined
  const kind = known ?? byStatus(status)
  switch (kind) {
    case 'kinesis/not-found':
      return told(kind, `${action} found no such stream or shard`)
    case 'kinesis/denied':
      return told(
        kind,
        reason.startsWith('KMS')
          ? `${action}: the key of the stream can’t be used (${reason})`
          : `kinesis:${action} is not allowed`,
      )
    case 'aws/no-credentials':
      return told(kind, `the AWS credentials are not valid (${reason})`)
    case 'kinesis/throttled':
      return told(kind, `${action} was refused as too much (${reason})`)
    case 'kinesis/refused':
      return told(kind, `${action} was refused (${reason})`)
    default:
      return told(kind, `${action} was not answered (${reason})`)
  }
}

function byStatus(status: number): ErrorCode {
  if (status === 403) return 'kinesis/denied'
  if (status === 429) return 'kinesis/throttled'
  return status >= 400 && status < 500 && status !== 408 ? 'kinesis/refused' : 'kinesis/unavailable'
}
