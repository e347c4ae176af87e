/** Who a request is made as: the SDK's default chain, and a role assumed with it where the settings name one. */
import { PseudolakeError } from '../core/errors.ts'
import type { RequestHandler } from './handler.ts'
import type { AwsSettings, Env } from './settings.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

export type CredentialProvider = () => Promise<Credentials>

/** What is left of credentials' time when new ones are asked for. */
const RENEW_MS = 5 * 60_000
const DEFAULT_SESSION_NAME = 'pseudolake'

/**
 * The SDK's default chain: environment, profile, single sign-on, web identity, container and instance metadata.
 * @param env static keys in it need no chain; everything else the chain reads from the process's own environment
 * @throws PseudolakeError (the provider) `aws/no-credentials`
 */
export function defaultCredentials(
  env: Env,
  handler: () => Promise<RequestHandler>,
  region: () => Promise<string | undefined>,
): CredentialProvider {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env
  if (accessKeyId && secretAccessKey && !env.AWS_PROFILE)
    return async () => ({ accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) })
  let chain: CredentialProvider | undefined
  return kept(async () => {
    try {
      if (chain === undefined) {
        const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers')
        const known = await region()
        chain = fromNodeProviderChain({
          clientConfig: { requestHandler: await handler(), ...(known !== undefined && { region: known }) },
        })
      }
      return await chain()
    } catch (error) {
      throw noCredentials(error)
    }
  })
}

export interface AssumedRole extends Pick<AwsSettings, 'externalId' | 'sessionName'> {
  readonly roleArn: string
  readonly region: string
  readonly endpoint: string | undefined
  readonly handler: RequestHandler
}

/** @throws PseudolakeError (the provider) `aws/denied` naming `sts:AssumeRole` and the role; `aws/no-credentials`, `aws/failed` */
export function assumedRole(role: AssumedRole, own: CredentialProvider): CredentialProvider {
  const { roleArn, externalId, sessionName = DEFAULT_SESSION_NAME, region, endpoint, handler } = role
  let assume: CredentialProvider | undefined
  return kept(async () => {
    // Asked first, so that their absence is told as such.
    await own()
    try {
      if (assume === undefined) {
        const { fromTemporaryCredentials } = await import('@aws-sdk/credential-providers')
        assume = fromTemporaryCredentials({
          masterCredentials: own,
          params: {
            RoleArn: roleArn,
            RoleSessionName: sessionName.replace(/[^\w+=,.@-]/g, '-').slice(0, 64),
            ...(externalId !== undefined && { ExternalId: externalId }),
          },
          clientConfig: { region, requestHandler: handler, ...(endpoint !== undefined && { endpoint }) },
        })
      }
      return await assume()
    } catch (error) {
      throw notAssumed(error, roleArn)
    }
  })
}

/** Asked for once by all who need them at the same time, and again before they expire. A failure is not kept. */
function kept(provider: CredentialProvider): CredentialProvider {
  let asked: Promise<Credentials> | undefined
  let until = Number.POSITIVE_INFINITY
  return () => {
    if (asked !== undefined && Date.now() < until) return asked
    until = Number.POSITIVE_INFINITY
    const now = provider()
    asked = now
    now.then(
      ({ expiration }) => {
        if (asked === now && expiration) until = expiration.getTime() - RENEW_MS
      },
      () => {
        if (asked === now) asked = undefined
      },
    )
    return now
  }
}

function noCredentials(error: unknown): PseudolakeError {
  return new PseudolakeError(
    'aws/no-credentials',
    'no AWS credentials: none in the environment, no profile, no role of a container or an instance',
    { reason: nameOf(error) },
  )
}

function notAssumed(error: unknown, roleArn: string): PseudolakeError {
  if (error instanceof PseudolakeError) return error
  const name = nameOf(error)
  const context = { action: 'sts:AssumeRole', resource: roleArn, reason: name }
  if (/AccessDenied|NotAuthorized/i.test(name))
    return new PseudolakeError(
      'aws/denied',
      `sts:AssumeRole on ${roleArn} is not allowed: the caller’s policies, the role’s trust policy or its external id`,
      context,
    )
  if (/Expired|InvalidClientToken|UnrecognizedClient|SignatureDoesNotMatch|InvalidIdentityToken/i.test(name))
    return new PseudolakeError(
      'aws/no-credentials',
      `the credentials with which ${roleArn} was to be assumed are not valid (${name})`,
      context,
    )
  if (/^(?:ValidationError|MalformedPolicyDocument)/.test(name))
    return new PseudolakeError('config/invalid', `aws.role_arn: ${roleArn} is refused (${name})`, {
      ...context,
      key: 'aws.role_arn',
    })
  return new PseudolakeError('aws/failed', `${roleArn} could not be assumed (${name})`, context)
}

/** Of an SDK's error, its name or code; never its words: a process that gives credentials may have put them there. */
function nameOf(error: unknown): string {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  const told = [code, name].find(
    (each) => typeof each === 'string' && /^[A-Za-z0-9_.]{1,80}$/.test(each) && each !== 'Error',
  )
  return typeof told === 'string' ? told : 'unknown error'
}
