import { readFile } from 'node:fs/promises'
import { PseudolakeError } from '../lib/core/errors.ts'
import { environmentCaller, everybody, type Identify, identifyBy } from './auth.ts'
import { parseCallers } from './callers/file.ts'

/** Who may call: one of these is needed. */
export interface AuthOptions {
  /** A file of callers (docs/service.md). */
  readonly apiKeys?: string
  /** One more caller, with `pseudonymize` only. Blank is none. */
  readonly apiKey?: string
  /** Everybody may do everything; on loopback only. */
  readonly insecureNoAuth?: boolean
}

export interface Access {
  readonly identify: Identify
  /** Names of callers that may go back without a purpose, or without an end. */
  readonly unboundGrants: readonly string[]
  /** Whether a caller has a quota, so that what was used must be remembered. */
  readonly hasQuotas: boolean
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
    return { identify: everybody(), unboundGrants: [], hasQuotas: false, allowsHost: isLoopbackHeader }
  }
  const { callers: listed, unboundGrants } =
    apiKeys === undefined ? { callers: [], unboundGrants: [] } : parseCallers(await readText(apiKeys))
  const callers = apiKey?.trim() ? [...listed, environmentCaller(apiKey.trim())] : listed
  if (callers.length === 0)
    throw new PseudolakeError(
      'service/no-callers',
      'nobody could call: give --api-keys FILE, or an API key in PSEUDOLAKE_API_KEY (--insecure-no-auth is for tests)',
    )
  const hasQuotas = callers.some(({ quota }) => quota !== undefined)
  return { identify: identifyBy(callers), unboundGrants, hasQuotas }
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
