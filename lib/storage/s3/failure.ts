/** What went wrong with a request, in words of our own: the SDK's messages may name accounts, and a caller cannot act on them. */
import { type ErrorCode, type ErrorContext, PseudolakeError } from '../../core/errors.ts'
import { bucketAndKey } from './location.ts'

/** A request that is told of. */
export interface S3Request {
  /** The permission that it takes, `s3:GetObject` say. */
  readonly action: string
  readonly location: string
}

export interface S3Failure {
  readonly error: PseudolakeError
  /** Whether the same request may succeed later; `slow` where the store asks for less. */
  readonly again: 'no' | 'soon' | 'slow'
  /** Whether the store may have done, or may still do, what it was asked for. */
  readonly doubtful: boolean
}

/** The members of an SDK error that are looked at. */
interface SdkError {
  readonly name?: string
  readonly code?: string
  readonly Code?: string
  readonly message?: string
  readonly Region?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly $response?: {
    readonly statusCode?: number
    readonly headers?: Readonly<Record<string, string | undefined>>
  }
}

const SLOW = /^(SlowDown|Throttling|ThrottlingException|TooManyRequests|RequestLimitExceeded|BandwidthLimitExceeded)/
/** Definite, and worth another try. A clock that is off is corrected by the SDK with the first answer. */
const SOON = new Set([
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'ConditionalRequestConflict',
  'OperationAborted',
  'IncompleteBody',
])
/** Without an answer, and no other attempt would have one: certificates, and endpoints that are none. */
const FINAL = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|^EndpointError$|^ERR_INVALID/
const CREDENTIALS: Readonly<Record<string, string>> = {
  CredentialsProviderError: 'no AWS credentials were found',
  ExpiredToken: 'the AWS session has expired',
  ExpiredTokenException: 'the AWS session has expired',
  TokenRefreshRequired: 'the AWS session has expired',
  InvalidToken: 'the AWS session token is not valid',
  InvalidAccessKeyId: 'the AWS access key is not known to the store',
  SignatureDoesNotMatch: 'the AWS secret key is not that of the access key',
}

/** @param error what the SDK threw, or reading a body */
export function failureOf(thrown: unknown, request: S3Request): S3Failure {
  if (thrown instanceof PseudolakeError) return { error: thrown, again: 'no', doubtful: false }
  const error = (thrown ?? {}) as SdkError
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode
  const code = codeOf(error)
  const made = (as: ErrorCode, message: string, more: ErrorContext = {}) => {
    const { location, action } = request
    const context = { location, action, code, ...(status !== undefined && { status }), ...more }
    return new PseudolakeError(as, message, context, { cause: causeOf(thrown) })
  }
  const definite = (as: ErrorCode, message: string, more?: ErrorContext): S3Failure => ({
    error: made(as, message, more),
    again: 'no',
    doubtful: false,
  })
  const { bucket } = bucketAndKey(request.location)
  const { location } = request

  const credentials = CREDENTIALS[code]
  if (credentials !== undefined) return definite('storage/denied', `${credentials} (${request.action} on ${location})`)
  if (code === 'NoSuchBucket') return definite('storage/not-found', `there is no bucket ${bucket}`, { bucket })
  if (code.startsWith('KMS.') || code.startsWith('KMS')) return definite('storage/denied', kmsRefused(code, location))
  if (code === 'InvalidObjectState')
    return definite('storage/denied', `${location} is archived: it must be restored before it can be read`)
  if (/^(QuotaExceeded|InsufficientStorage|XMinioStorageFull|XMinioAdminBucketQuotaExceeded)$/.test(code))
    return definite('storage/full', `no room to write ${location} (${code})`)

  const region = regionOf(error)
  if (status === 301 || status === 307 || code === 'PermanentRedirect' || code === 'AuthorizationHeaderMalformed')
    return definite(
      'storage/wrong-region',
      `the bucket ${bucket} is in ${region ?? 'another region'}: aws.region must say so`,
      { bucket, ...(region !== undefined && { region }) },
    )
  if (SLOW.test(code) || status === 429)
    return {
      error: made('storage/failed', `the store asks to slow down at ${location}`),
      again: 'slow',
      doubtful: false,
    }
  if (SOON.has(code))
    return {
      error: made('storage/failed', `the store refused ${location} for now (${code})`),
      again: 'soon',
      doubtful: false,
    }

  switch (status) {
    case 404:
      return definite('storage/not-found', `no object at ${location}`)
    case 412:
      return definite('storage/conflict', `${location} exists already`)
    case 401:
    case 403:
      return definite('storage/denied', denied(error, request, bucket))
    case 405:
    case 501:
      return definite('storage/unsupported', `the store does not do ${request.action} as it is needed (${code})`)
    case 507:
      return definite('storage/full', `no room to write ${location} (${code})`)
  }
  if (status === undefined && FINAL.test(code))
    return definite('storage/failed', `the store cannot be talked to, at ${location} (${code})`)
  if (status === undefined || status >= 500 || status < 300)
    return {
      error: made(
        'storage/failed',
        `${status === undefined ? 'no answer of' : 'an error of'} the store at ${location} (${code})`,
      ),
      again: 'soon',
      doubtful: true,
    }
  return definite('storage/failed', `the store refused ${request.action} on ${location} (${code})`)
}

/** A bug of ours, unless it came up where an answer was read. */
export function isBug(thrown: unknown): boolean {
  const bug = thrown instanceof TypeError || thrown instanceof ReferenceError || thrown instanceof RangeError
  return bug && !Object.hasOwn(thrown, '$response')
}

/** The store's code, or that of the connection. */
export function codeOf(thrown: unknown): string {
  const { Code, code, name } = (thrown ?? {}) as SdkError
  const found = [Code, code, name].find((one) => typeof one === 'string' && one !== '' && one !== 'Error')
  // What is no word could be anything.
  return found !== undefined && /^[\w.:-]{1,64}$/.test(found) ? found : 'unknown'
}

/** AWS says which permission is missing, KMS's too; of a store that does not, it is that of the request. */
function denied({ message = '' }: SdkError, { action, location }: S3Request, bucket: string): string {
  const missing = /perform:? ([a-z0-9-]+:[A-Za-z0-9]+)/.exec(message)?.[1] ?? action
  if (missing.startsWith('kms:')) return `${missing} is not allowed with the key of ${location}`
  if (missing === 's3:ListBucket') return `${missing} is not allowed on the bucket ${bucket} (${location})`
  const unseen =
    missing === 's3:GetObject'
      ? '; without s3:ListBucket on the bucket the same is said of an object that is not there'
      : ''
  return `${missing} is not allowed on ${location}${unseen}; a bucket whose requesters pay refuses so who does not say that he will`
}

function kmsRefused(code: string, location: string): string {
  if (code.includes('Disabled')) return `the KMS key of ${location} is disabled`
  if (code.includes('NotFound')) return `the KMS key of ${location} does not exist in the bucket’s region`
  return `KMS refused the key of ${location} (${code})`
}

function regionOf({ $response, Region }: SdkError): string | undefined {
  const region = $response?.headers?.['x-amz-bucket-region'] ?? Region
  return region !== undefined && /^[a-z0-9-]{1,40}$/.test(region) ? region : undefined
}

/** Requests with their headers hang on the SDK's errors: none of that goes on. */
function causeOf(thrown: unknown): Error | undefined {
  if (!(thrown instanceof Error)) return undefined
  const cause = new Error(codeOf(thrown))
  cause.name = 'S3Error'
  if (thrown.stack !== undefined) cause.stack = thrown.stack.replace(/^.*?(?=\n\s+at )/s, cause.toString())
  return cause
}
