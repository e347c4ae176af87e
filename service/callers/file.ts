import { PseudolakeError } from '../../lib/core/errors.ts'
import { DEFAULT_DOMAIN, type Direction, isDomain } from '../../lib/wire/contract.ts'
import { identityOf, isPurpose, type KnownCaller, type Period, type Quota, type Rate } from '../auth.ts'

/**
 * The file of callers, in two forms. `{version: 2, callers: […]}` is strict about the way back: `reidentify` is granted only together
 * with `purposes` and `until`. A bare list is the older form, in which a grant without them stands (see {@link unboundGrants}).
 */
export interface CallersFile {
  readonly callers: readonly KnownCaller[]
  /** Names of callers that may go back without a purpose, or without an end; only in the older form. */
  readonly unboundGrants: readonly string[]
}

/** An entry as it is written. */
export interface CallerEntry {
  readonly name: string
  readonly key_sha256?: string
  readonly principal?: string
  readonly permissions: readonly Direction[]
  readonly domains?: readonly string[]
  readonly purposes?: readonly string[]
  /** RFC 3339, or a day. */
  readonly until?: string
  readonly rate?: { readonly per_second: number; readonly burst?: number }
  readonly quota?: { readonly requests: number; readonly per: Period }
}

const VERSION = 2

/**
 * Reads an `--api-keys` file. `domains` missing means `default` alone, `["*"]` all; `until` missing means no end.
 * @throws PseudolakeError `config/invalid`, by entry and field
 */
export function parseCallers(text: string): CallersFile {
  const { entries, strict } = parseEntries(text)
  const callers = entries.map((entry, i) => readCaller(entry, `[${i}]`, strict))
  const keys = callers.flatMap(({ keySha256, principal }) =>
    keySha256 ? [`${Buffer.from(keySha256).toString('hex')} ${principal ?? ''}`] : [`principal ${principal}`],
  )
  for (const list of [callers.map((c) => c.name), keys])
    if (new Set(list).size < list.length) throw invalid('two callers have the same name or the same key')
  const unbound = callers.filter((c) => c.permissions.has('reidentify') && !(c.purposes && c.until !== undefined))
  return { callers, unboundGrants: unbound.map(({ name }) => name) }
}

/** The entries as they stand, of a file of either form, for those who write it anew. Looked at by {@link parseCallers}. */
export function parseEntries(text: string): { readonly entries: readonly CallerEntry[]; readonly strict: boolean } {
  let parsed: unknown
  try {
    // Editors on Windows put a byte order mark in front.
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw invalid('the file is not JSON')
  }
  const strict = isObject(parsed) && Object.hasOwn(parsed, 'version')
  if (strict) {
    const { version, callers, ...others } = parsed as Record<string, unknown>
    if (version !== VERSION) throw invalid(`version: expected ${VERSION}; a newer one needs a newer pseudolake`)
    if (Object.keys(others).length > 0) throw invalid('a field is none of version, callers')
    parsed = callers
  }
  if (!Array.isArray(parsed) || parsed.length === 0) throw invalid('expected a list of one caller at least')
  return { entries: parsed, strict }
}

/** A file of the strict form. @throws PseudolakeError `config/invalid` where it could not be read back */
export function writeCallers(entries: readonly CallerEntry[]): string {
  const text = `${JSON.stringify({ version: VERSION, callers: entries }, undefined, 2)}\n`
  parseCallers(text)
  return text
}

const FIELDS = ['name', 'key_sha256', 'principal', 'permissions', 'domains', 'purposes', 'until', 'rate', 'quota']
/** An IAM user or role, by its own ARN. */
const PRINCIPAL = /^arn:[a-z-]+:iam::\d{12}:(?:user|role)\/[\w+=,.@/-]{1,512}$/
const PERIODS: readonly Period[] = ['day', 'week', 'month']

export function isCallerName(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Za-z0-9 ._@/-]{1,128}$/.test(name)
}

function readCaller(entry: unknown, place: string, strict: boolean): KnownCaller {
  if (!isObject(entry)) throw invalid(`${place}: expected an object`)
  // A misspelt `until` would be a key that never ends.
  if (Object.keys(entry).some((field) => !FIELDS.includes(field)))
    throw invalid(`${place}: a field is none of ${FIELDS.join(', ')}`)
  const { name, key_sha256, principal, permissions, domains = [DEFAULT_DOMAIN], purposes, until } = entry
  if (!isCallerName(name)) throw invalid(`${place}.name: expected 1 to 128 letters, digits, blanks and . _ @ / -`)
  if (key_sha256 === undefined && principal === undefined)
    throw invalid(`${place}.key_sha256: expected 64 hex digits, or a principal`)
  if (key_sha256 !== undefined && !(typeof key_sha256 === 'string' && /^[0-9a-fA-F]{64}$/.test(key_sha256)))
    throw invalid(`${place}.key_sha256: expected 64 hex digits`)
  if (principal !== undefined && !(typeof principal === 'string' && PRINCIPAL.test(principal)))
    throw invalid(`${place}.principal: expected the ARN of an IAM user or role`)
  if (!isListOf(permissions, (p): p is Direction => p === 'pseudonymize' || p === 'reidentify'))
    throw invalid(`${place}.permissions: expected a list of pseudonymize and reidentify`)
  if (!isListOf(domains, (d): d is string => typeof d === 'string' && (d === '*' || isDomain(d))))
    throw invalid(`${place}.domains: expected a list of domain names, or ["*"]`)
  if (purposes !== undefined && !isListOf(purposes, (p): p is string => typeof p === 'string' && isPurpose(p)))
    throw invalid(`${place}.purposes: expected a list of names of a-z, 0-9, . _ and -`)
  const end = until === undefined || until === null ? undefined : readTime(until)
  if (Number.isNaN(end)) throw invalid(`${place}.until: expected a time, as 2027-01-31T12:00:00Z`)
  if (strict && permissions.includes('reidentify') && (purposes === undefined || end === undefined))
    throw invalid(`${place}: reidentify is granted only with purposes and until`)
  const rate = readRate(entry.rate, `${place}.rate`)
  const quota = readQuota(entry.quota, `${place}.quota`)
  return {
    name,
    permissions: new Set(permissions),
    domains: domains.includes('*') ? undefined : new Set(domains),
    until: end,
    ...(typeof key_sha256 === 'string' && { keySha256: Buffer.from(key_sha256, 'hex') }),
    ...(typeof principal === 'string' && { principal: identityOf(principal) }),
    ...(purposes !== undefined && { purposes: new Set(purposes as string[]) }),
    ...(rate && { rate }),
    ...(quota && { quota }),
  }
}

function readRate(value: unknown, place: string): Rate | undefined {
  if (value === undefined) return undefined
  if (!isObject(value) || Object.keys(value).some((field) => field !== 'per_second' && field !== 'burst'))
    throw invalid(`${place}: expected {per_second, burst}`)
  const { per_second, burst } = value
  if (!isAbove(per_second, 0)) throw invalid(`${place}.per_second: expected a number above 0`)
  if (burst !== undefined && !(isAbove(burst, 0) && Number.isSafeInteger(burst)))
    throw invalid(`${place}.burst: expected an integer above 0`)
  return { perSecond: per_second, burst: (burst as number | undefined) ?? Math.max(1, per_second) }
}

function readQuota(value: unknown, place: string): Quota | undefined {
  if (value === undefined) return undefined
  if (!isObject(value) || Object.keys(value).some((field) => field !== 'requests' && field !== 'per'))
    throw invalid(`${place}: expected {requests, per}`)
  const { requests, per } = value
  if (!(isAbove(requests, 0) && Number.isSafeInteger(requests)))
    throw invalid(`${place}.requests: expected an integer above 0`)
  if (!PERIODS.includes(per as Period)) throw invalid(`${place}.per: expected one of ${PERIODS.join(', ')}`)
  return { requests, per: per as Period }
}

function isAbove(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > least
}

/** A day alone ends as it begins, in UTC. A time without a zone is refused: where the service runs must not decide. */
function readTime(value: unknown): number {
  if (typeof value !== 'string') return Number.NaN
  const form = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/
  return form.test(value) ? Date.parse(value) : Number.NaN
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isListOf<T>(value: unknown, is: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length > 0 && value.every(is)
}

function invalid(message: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `api keys: ${message}`)
}
