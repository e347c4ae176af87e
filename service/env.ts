import { readFile } from 'node:fs/promises'
import { PseudolakeError } from '../lib/core/errors.ts'
import { environmentCaller, everybody, type Identify, identifyBy } from './auth.ts'
import { parseCallers } from './callers/file.ts'
import { type CallersSecret, callersIn } from './callers/follow.ts'

/** Who may call: one of these is needed. */
export interface AuthOptions {
  /** A file of callers (docs/service.md), or a secret. */
  readonly apiKeys?: string | CallersSecret
  /** One more caller, with `pseudonymize` only. Blank is none. */
  readonly apiKey?: string
  /** Everybody may do everything; on loopback only. */
  readonly insecureNoAuth?: boolean
}

export interface Access {
  readonly identify: Identify
  /** Names of callers that may go back without a purpose, or without an end. */
  readonly unboundGrants: readonly string[]
  readonly allowsHost?: (host: string | undefined) => boolean
}

/**
 * Turns what was given into who may call.
 * @throws PseudolakeError `service/no-callers`, `options/invalid`, `config/invalid`, `input/not-found`
 */
export async function readAccess({ apiKeys, apiKey, insecureNoAuth }: AuthOptions, host: string): Promise<Access> {
  if (insecureNoAuth) {
    if (apiKeys !== undefined)
      throw new PseudolakeError('options/invalid', '--insecure-no-auth and --api-keys contradict each other')
    if (!isLoopback(host))
      throw new PseudolakeError('options/invalid', '--insecure-no-auth: expected a host on loopback (127.0.0.1, ::1)', {
        option: 'insecure-no-auth',
      })
    return { identify: everybody(), unboundGrants: [], allowsHost: isLoopbackHeader }
  }
  const { callers: listed, unboundGrants } = await listedIn(apiKeys)
  const callers = apiKey?.trim() ? [...listed, environmentCaller(apiKey.trim())] : listed
  if (callers.length === 0)
    throw new PseudolakeError(
      'service/no-callers',
      'nobody could call: give --api-keys FILE, or an API key in PSEUDOLAKE_API_KEY (--insecure-no-auth is for tests)',
    )
  return { identify: identifyBy(callers), unboundGrants }
}

async function listedIn(apiKeys: AuthOptions['apiKeys']) {
  if (apiKeys === undefined) return { callers: [], unboundGrants: [] }
  if (typeof apiKeys === 'string') return parseCallers(await readText(apiKeys))
  return callersIn(await apiKeys.secrets.get(apiKeys.name), apiKeys)
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/**
 * A web page that has its own name resolve to 127.0.0.1 (DNS rebinding) still sends its own name here. Who sends none speaks
 * HTTP/1.0, which no browser does.
 */
function isLoopbackHeader(host: string | undefined): boolean {
  return host === undefined || isLoopback(host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'))
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new PseudolakeError('input/not-found', `${file}: can't be read (${code ?? 'unknown error'})`, { file })
  }
}

/** What a function's environment says (docs/lambda.md). */
export interface LambdaSettings {
  /** Name or ARN of the secret that holds the keyring. */
  readonly keyringSecret: string
  /** Name or ARN of the secret that holds the callers, or one API key as the original service's deployment writes it. */
  readonly apiKeysSecret: string | undefined
  /** One more caller, with `pseudonymize` only. */
  readonly apiKey: string | undefined
  /** Whoever is no known caller may pseudonymize: where the gateway, or IAM, says who may call at all. */
  readonly anyCaller: boolean
  readonly trustPrincipal: boolean
  /** An s3:// location. Without one there is no way back: it must be on record first. */
  readonly audit: string | undefined
  readonly anchors: string | undefined
  readonly secretTtlMs: number
  /** CloudWatch's namespace for metrics of each call; undefined: none are written. */
  readonly metricsNamespace: string | undefined
}

type Env = Readonly<Record<string, string | undefined>>

const SECRET_TTL_SECONDS = 300

/** @throws PseudolakeError `config/invalid` naming the variable, never its value; `service/no-callers` */
export function readLambdaEnv(env: Env): LambdaSettings {
  const text = (name: string) => env[name]?.trim() || undefined
  const keyringSecret = text('PSEUDOLAKE_KEYRING_SECRET')
  if (keyringSecret === undefined)
    throw variable('PSEUDOLAKE_KEYRING_SECRET', 'expected the name or ARN of the secret that holds the keyring')
  const ttl = Number(text('PSEUDOLAKE_SECRET_TTL_SECONDS') ?? SECRET_TTL_SECONDS)
  if (!(ttl >= 1 && ttl <= 86_400))
    throw variable('PSEUDOLAKE_SECRET_TTL_SECONDS', 'expected a number of seconds from 1 to 86400')
  const settings = {
    keyringSecret,
    apiKeysSecret: text('PSEUDOLAKE_API_KEYS_SECRET'),
    apiKey: text('PSEUDOLAKE_API_KEY'),
    anyCaller: choice(text('PSEUDOLAKE_ANY_CALLER'), 'PSEUDOLAKE_ANY_CALLER', 'pseudonymize'),
    trustPrincipal: choice(text('PSEUDOLAKE_TRUST_PRINCIPAL'), 'PSEUDOLAKE_TRUST_PRINCIPAL', 'true'),
    audit: location(text('PSEUDOLAKE_AUDIT'), 'PSEUDOLAKE_AUDIT'),
    anchors: location(text('PSEUDOLAKE_AUDIT_ANCHORS'), 'PSEUDOLAKE_AUDIT_ANCHORS'),
    secretTtlMs: ttl * 1000,
    metricsNamespace: namespace(text('PSEUDOLAKE_METRICS_NAMESPACE'), 'PSEUDOLAKE_METRICS_NAMESPACE'),
  }
  if (settings.apiKeysSecret === undefined && settings.apiKey === undefined && !settings.anyCaller)
    throw new PseudolakeError(
      'service/no-callers',
      'nobody could call: set PSEUDOLAKE_API_KEYS_SECRET, PSEUDOLAKE_API_KEY or PSEUDOLAKE_ANY_CALLER',
      { hint: 'docs/lambda.md says which is for what.' },
    )
  return settings
}

/** Something that is off unless it is asked for in so many words. */
function choice(value: string | undefined, name: string, word: string): boolean {
  if (value === undefined || value === 'false') return false
  if (value === word) return true
  throw variable(name, `expected ${word}, or nothing`)
}

function namespace(value: string | undefined, name: string): string | undefined {
  if (value === undefined || /^[\w./#:-]{1,255}$/.test(value)) return value
  throw variable(name, 'expected a name of letters, digits and . _ - / # :')
}

function location(value: string | undefined, name: string): string | undefined {
  if (value === undefined || /^s3:\/\/[^/]+/.test(value)) return value
  throw variable(name, 'expected an s3:// location')
}

function variable(name: string, what: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `${name}: ${what}`, { key: name })
}
