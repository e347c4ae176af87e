import { invalid, type Secrets } from '../../lib/aws/secrets.ts'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import { secretApiKey } from '../../pipelines/api-key.ts'
import type { LogEntry } from '../app.ts'
import { type Caller, environmentCaller, type Identify, identifyBy, type KnownCaller } from '../auth.ts'
import { parseCallers } from './file.ts'

/** A secret with a list of callers, or with one API key, which may pseudonymize. */
export interface CallersSecret {
  readonly name: string
  readonly secrets: Secrets
}

export interface FollowCallersOptions {
  /** @default none */
  readonly secret?: CallersSecret
  /** One more, which may pseudonymize. */
  readonly apiKey: string | undefined
  /** Whether whoever is none of these may pseudonymize. */
  readonly anyCaller: boolean
  readonly log: (entry: LogEntry) => void
}

export interface FollowedCallers {
  /** By the callers as they are known now. */
  readonly identify: Identify
  /** Takes over what the secret has become; what can't be used changes nothing, and is logged. @returns whether anything has changed */
  current(): Promise<boolean>
}

/** Callers out of a secret, which may change. @throws PseudolakeError `secret/*`, `config/invalid`; `aws/*` */
export async function followCallers({
  secret,
  apiKey,
  anyCaller,
  log,
}: FollowCallersOptions): Promise<FollowedCallers> {
  const own = apiKey === undefined ? [] : [environmentCaller(apiKey)]
  let text: string | undefined
  let known = identifyBy(own)
  let said = ''

  /** @returns whether it is another one than before */
  async function read(): Promise<boolean> {
    if (!secret) return false
    const now = await secret.secrets.get(secret.name)
    if (now === text) return false
    const listed = await callersIn(now, secret)
    for (const caller of listed.unboundGrants) log({ level: 'warn', event: 'unbound-grant', caller })
    // Each instance of a function would count for itself.
    const limited = listed.callers.filter(({ rate, quota }) => rate ?? quota).map(({ name }) => name)
    if (limited.length > 0)
      log({
        level: 'warn',
        event: 'limits-not-enforced',
        callers: limited,
        reason: 'each instance of a function would count for itself: use usage plans of API Gateway (docs/lambda.md)',
      })
    known = identifyBy([...listed.callers, ...own])
    text = now
    return true
  }

  await read()
  return {
    identify: (credentials) => known(credentials) ?? (anyCaller ? ANY : undefined),
    async current() {
      try {
        const changed = await read()
        if (changed) log({ level: 'info', event: 'callers-reloaded' })
        said = ''
        return changed
      } catch (error) {
        const reason = isPseudolakeError(error) ? error.message : error instanceof Error ? error.name : typeof error
        if (reason !== said) log({ level: 'error', event: 'callers-not-reloaded', reason })
        said = reason
        return false
      }
    },
  }
}

/** Somebody whom the gateway let in, or IAM. */
const ANY: Caller = { name: 'any', permissions: new Set(['pseudonymize']), domains: undefined, until: undefined }

interface Listed {
  readonly callers: readonly KnownCaller[]
  readonly unboundGrants: readonly string[]
}

/** @param text of the secret, as it is now @throws PseudolakeError `secret/invalid` */
export async function callersIn(text: string, { name, secrets }: CallersSecret): Promise<Listed> {
  if (isList(text)) {
    try {
      return parseCallers(text)
    } catch (error) {
      throw isPseudolakeError(error) ? invalid(name, error.message) : error
    }
  }
  // As the original service's deployment writes it.
  return { callers: [environmentCaller(await secretApiKey(name, secrets).get())], unboundGrants: [] }
}

/** A bare key may look like anything but these. */
function isList(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    return Array.isArray(parsed) || (typeof parsed === 'object' && parsed !== null && 'callers' in parsed)
  } catch {
    return false
  }
}
