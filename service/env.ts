import { readFile } from 'node:fs/promises'
import { PseudolakeError } from '../lib/core/errors.ts'
import { environmentCaller, everybody, type Identify, identifyBy, parseCallers } from './auth.ts'

/** Who may call: one of these is needed. */
export interface AuthOptions {
  /** A file: list of `{name, key_sha256, permissions, domains, until}`. */
  readonly apiKeys?: string
  /** One more caller, with `pseudonymize` only. Blank is none. */
  readonly apiKey?: string
  /** Everybody may do everything; on loopback only. */
  readonly insecureNoAuth?: boolean
}

export interface Access {
  readonly identify: Identify
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
    return { identify: everybody(), allowsHost: isLoopbackHeader }
  }
  const callers = apiKeys === undefined ? [] : parseCallers(await readText(apiKeys))
  if (apiKey?.trim()) callers.push(environmentCaller(apiKey.trim()))
  if (callers.length === 0)
    throw new PseudolakeError(
      'service/no-callers',
      'nobody could call: give --api-keys FILE, or an API key in PSEUDOLAKE_API_KEY (--insecure-no-auth is for tests)',
    )
  return { identify: identifyBy(callers) }
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
