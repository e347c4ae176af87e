import { createHash, timingSafeEqual } from 'node:crypto'
import { PseudolakeError } from '../lib/core/errors.ts'
import { DEFAULT_DOMAIN, type Direction, isDomain } from '../lib/wire/contract.ts'

/**
 * Who may do what. A caller is known by the SHA-256 of its API key; the key itself is nowhere on the service's side.
 *
 * Whoever is refused learns nothing: unknown, expired and not permitted give one and the same answer, and finding out takes the
 * same steps whatever was sent (every entry is compared, each in constant time).
 */
export interface Caller {
  readonly name: string
  readonly permissions: ReadonlySet<Direction>
  /** Undefined: every domain. */
  readonly domains: ReadonlySet<string> | undefined
  /** Milliseconds since 1970, exclusive; undefined: no end. */
  readonly until: number | undefined
}

/** Finds the caller of a request. @param apiKey as sent, if it was */
export type Identify = (apiKey: string | undefined) => Caller | undefined

export interface KnownCaller extends Caller {
  readonly keySha256: Uint8Array
}

export function identifyBy(callers: readonly KnownCaller[]): Identify {
  return (apiKey) => {
    const sent = sha256(apiKey ?? '')
    let found: Caller | undefined
    for (const caller of callers) if (timingSafeEqual(caller.keySha256, sent)) found = caller
    // An empty key is nobody's, even where its hash was listed by mistake.
    return apiKey ? found : undefined
  }
}

/** For tests on loopback: everybody is one caller that may do everything. */
export function everybody(): Identify {
  const caller: Caller = {
    name: 'insecure-no-auth',
    permissions: new Set(['pseudonymize', 'reidentify']),
    domains: undefined,
    until: undefined,
  }
  return () => caller
}

export function mayCall(caller: Caller, direction: Direction, domain: string, wallMs: number): boolean {
  return (
    caller.permissions.has(direction) &&
    (caller.domains === undefined || caller.domains.has(domain)) &&
    (caller.until === undefined || wallMs < caller.until)
  )
}

/** The one caller of `PSEUDOLAKE_API_KEY`: forward only, so that a job's key in an environment can't lead back to people. */
export function environmentCaller(apiKey: string): KnownCaller {
  return {
    name: 'environment',
    permissions: new Set(['pseudonymize']),
    domains: undefined,
    until: undefined,
    keySha256: sha256(apiKey),
  }
}

/**
 * Reads an `--api-keys` file: a list of `{name, key_sha256, permissions, domains, until}`. `domains` missing means `default` alone,
 * `["*"]` all; `until` missing means no end.
 * @throws PseudolakeError `config/invalid`, by entry and field
 */
export function parseCallers(text: string): KnownCaller[] {
  let list: unknown
  try {
    // Editors on Windows put a byte order mark in front.
    list = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw invalid('the file is not JSON')
  }
  if (!Array.isArray(list) || list.length === 0) throw invalid('expected a list of one caller at least')
  const callers = list.map((entry, i) => readCaller(entry, `[${i}]`))
  for (const list of [callers.map((c) => c.name), callers.map((c) => Buffer.from(c.keySha256).toString('hex'))])
    if (new Set(list).size < list.length) throw invalid('two callers have the same name or the same key')
  return callers
}

const FIELDS = ['name', 'key_sha256', 'permissions', 'domains', 'until']

function readCaller(entry: unknown, place: string): KnownCaller {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) throw invalid(`${place}: expected an object`)
  // A misspelt `until` would be a key that never ends.
  if (Object.keys(entry).some((field) => !FIELDS.includes(field)))
    throw invalid(`${place}: a field is none of ${FIELDS.join(', ')}`)
  const { name, key_sha256, permissions, domains = [DEFAULT_DOMAIN], until } = entry as Record<string, unknown>
  if (typeof name !== 'string' || !/^[A-Za-z0-9 ._@/-]{1,128}$/.test(name))
    throw invalid(`${place}.name: expected 1 to 128 letters, digits, blanks and . _ @ / -`)
  if (typeof key_sha256 !== 'string' || !/^[0-9a-fA-F]{64}$/.test(key_sha256))
    throw invalid(`${place}.key_sha256: expected 64 hex digits`)
  if (!isListOf(permissions, (p): p is Direction => p === 'pseudonymize' || p === 'reidentify'))
    throw invalid(`${place}.permissions: expected a list of pseudonymize and reidentify`)
  if (!isListOf(domains, (d): d is string => typeof d === 'string' && (d === '*' || isDomain(d))))
    throw invalid(`${place}.domains: expected a list of domain names, or ["*"]`)
  const end = until === undefined || until === null ? undefined : readTime(until)
  if (Number.isNaN(end)) throw invalid(`${place}.until: expected a time, as 2027-01-31T12:00:00Z`)
  return {
    name,
    permissions: new Set(permissions),
    domains: domains.includes('*') ? undefined : new Set(domains),
    until: end,
    keySha256: Buffer.from(key_sha256, 'hex'),
  }
}

/** A day alone ends as it begins, in UTC. A time without a zone is refused: where the service runs must not decide. */
function readTime(value: unknown): number {
  if (typeof value !== 'string') return Number.NaN
  const form = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/
  return form.test(value) ? Date.parse(value) : Number.NaN
}

function isListOf<T>(value: unknown, is: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length > 0 && value.every(is)
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}

function invalid(message: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `api keys: ${message}`)
}
