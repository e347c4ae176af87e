/** Texts from Secrets Manager, kept for a while. A secret is in memory only: no error, log or file repeats any of it. */
import type { GetSecretValueCommandOutput, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import type { Clock } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'

export interface SecretsOptions {
  readonly client: () => Promise<Pick<SecretsManagerClient, 'send'>>
  readonly clock: Clock
  /** How long a secret is taken as it was read. @default 900_000 */
  readonly ttlMs?: number
}

export interface Secrets {
  /**
   * The secret's current text.
   * @param name name or ARN
   * @throws PseudolakeError `secret/not-found`, `secret/denied` naming the action, `secret/invalid` for a binary or an empty one,
   *   `secret/unavailable`; `aws/*`
   */
  get(name: string): Promise<string>
  /** The text before the last change (stage `AWSPREVIOUS`), kept as long; undefined where there is none. @throws as {@link get} */
  previous(name: string): Promise<string | undefined>
  /** Asks again whatever is kept: for who was refused with what it had. One request for all who ask meanwhile. */
  refresh(name: string): Promise<string>
}

const DEFAULT_TTL_MS = 15 * 60_000
/** Before a secret that could not be asked for again is asked for once more. */
const AGAIN_MS = 60_000

interface Kept {
  /** Undefined: there is none. */
  readonly text: string | undefined
  readonly until: number
}

type Stage = 'AWSCURRENT' | 'AWSPREVIOUS'

export function openSecrets({ client, clock, ttlMs = DEFAULT_TTL_MS }: SecretsOptions): Secrets {
  const kept = new Map<string, Kept>()
  const asked = new Map<string, Promise<string | undefined>>()

  function ask(name: string, stage: Stage): Promise<string | undefined> {
    const place = `${stage} ${name}`
    const known = asked.get(place)
    if (known) return known
    const asking = read(name, stage, place).finally(() => asked.delete(place))
    asked.set(place, asking)
    return asking
  }

  async function read(name: string, stage: Stage, place: string): Promise<string | undefined> {
    let answer: GetSecretValueCommandOutput
    try {
      const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager')
      const asked = { SecretId: name, ...(stage !== 'AWSCURRENT' && { VersionStage: stage }) }
      answer = await (await client()).send(new GetSecretValueCommand(asked))
    } catch (error) {
      // An old text serves on where the new one can't be asked for: a job of hours need not end for that.
      const old = kept.get(place)
      const failed = failure(error, name)
      if (stage === 'AWSPREVIOUS' && failed.code === 'secret/not-found') return keep(place, undefined, ttlMs)
      if (!old || !failed.retryable) throw failed
      return keep(place, old.text, Math.min(ttlMs, AGAIN_MS))
    }
    const { SecretString: text } = answer
    if (text === undefined)
      throw invalid(name, `it is binary, of ${answer.SecretBinary?.length ?? 0} bytes; a text is needed`)
    if (text.trim() === '') throw invalid(name, 'it is empty')
    return keep(place, text, ttlMs)
  }

  function keep(place: string, text: string | undefined, ms: number): string | undefined {
    kept.set(place, { text, until: clock.now() + ms })
    return text
  }

  async function known(name: string, stage: Stage): Promise<string | undefined> {
    const there = kept.get(`${stage} ${name}`)
    return there && clock.now() < there.until ? there.text : ask(name, stage)
  }

  return {
    get: async (name) => (await known(name, 'AWSCURRENT')) as string,
    previous: (name) => known(name, 'AWSPREVIOUS'),
    async refresh(name) {
      const place = `AWSPREVIOUS ${name}`
      const previous = kept.get(place)
      // What was current is previous now, if anything has changed.
      if (previous) kept.set(place, { ...previous, until: Number.NEGATIVE_INFINITY })
      return (await ask(name, 'AWSCURRENT')) as string
    },
  }
}

/** For who reads the text: says what is wrong with it, and nothing of it. */
export function invalid(name: string, what: string): PseudolakeError {
  return new PseudolakeError('secret/invalid', `secret ${name}: ${what}`, { secret: name })
}

/** What no later attempt changes: names of OpenSSL's verification results and Node's own for a host name that does not match. */
const CERTIFICATE = /CERT|ISSUER|SELF_SIGNED|VERIFY/
const ACTION = 'secretsmanager:GetSecretValue'

function failure(error: unknown, name: string): PseudolakeError {
  if (error instanceof PseudolakeError) return error
  const { name: kind, code, message } = (error ?? {}) as { name?: unknown; code?: unknown; message?: unknown }
  const said = typeof message === 'string' ? message : ''
  const reason = [code, kind].find(
    (each) => typeof each === 'string' && each !== 'Error' && /^[A-Za-z0-9_.]{1,80}$/.test(each),
  )
  const context = { secret: name, action: ACTION, reason: String(reason ?? 'unknown') }
  const refused = (
    code: 'secret/not-found' | 'secret/denied' | 'secret/invalid' | 'secret/unavailable',
    text: string,
  ) => new PseudolakeError(code, text, context)
  switch (kind) {
    case 'ResourceNotFoundException':
      return refused('secret/not-found', `secret ${name}: there is none of that name in this account and region`)
    case 'AccessDeniedException':
      // Without the right to decrypt Secrets Manager refuses with the same name, and says which key.
      return /\bkms\b/i.test(said)
        ? refused('secret/denied', `secret ${name}: kms:Decrypt on the key that it is encrypted with is not allowed`)
        : refused('secret/denied', `secret ${name}: ${ACTION} is not allowed`)
    case 'DecryptionFailure':
    case 'KMSAccessDeniedException':
      return refused('secret/denied', `secret ${name}: kms:Decrypt on the key that it is encrypted with is not allowed`)
    case 'InvalidRequestException':
      return refused('secret/invalid', `secret ${name}: it is marked for deletion, or has no current version`)
    case 'InvalidParameterException':
    case 'ValidationException':
      return refused('secret/invalid', `secret ${name}: the name is not one that Secrets Manager takes`)
    case 'UnrecognizedClientException':
    case 'InvalidSignatureException':
    case 'ExpiredTokenException':
    case 'IncompleteSignatureException':
      return new PseudolakeError('aws/no-credentials', `the AWS credentials are not valid (${kind})`, context)
  }
  if (CERTIFICATE.test(context.reason))
    return new PseudolakeError(
      'config/invalid',
      `secret ${name}: the certificate of Secrets Manager’s endpoint is not trusted (${context.reason}); NODE_EXTRA_CA_CERTS names further authorities`,
      { ...context, key: 'aws.endpoints.secretsmanager' },
    )
  return refused('secret/unavailable', `secret ${name}: Secrets Manager could not be asked (${context.reason})`)
}
