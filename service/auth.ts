import { createHash, timingSafeEqual } from 'node:crypto'
import { type Direction, PURPOSE_PATTERN } from '../lib/wire/contract.ts'

/**
 * Who may do what. A caller is known by the SHA-256 of its API key, by the principal that a gateway vouches for, or by both; the key
 * itself is nowhere on the service's side. What is not granted is denied.
 *
 * Whoever is refused learns nothing: unknown, expired and not permitted give one and the same answer, and finding out takes the
 * same steps whatever was sent (every entry is compared, each in constant time, and a caller that nobody knows is looked at as one
 * without permissions).
 */
export interface Caller {
  readonly name: string
  readonly permissions: ReadonlySet<Direction>
  /** Undefined: every domain. */
  readonly domains: ReadonlySet<string> | undefined
  /** Milliseconds since 1970, exclusive; undefined: no end. */
  readonly until: number | undefined
  /** What the way back may be asked for; one of them must be named then. Undefined: nothing is asked. */
  readonly purposes?: ReadonlySet<string>
  readonly rate?: Rate
  readonly quota?: Quota
}

/** A bucket of tokens, as API Gateway's usage plans have it. */
export interface Rate {
  /** Requests; the bucket gets so many tokens each second. */
  readonly perSecond: number
  /** Requests that may come at once, after a pause. */
  readonly burst: number
}

export type Period = 'day' | 'week' | 'month'

/** Requests in a day, a week (from Monday) or a month, in UTC. */
export interface Quota {
  readonly requests: number
  readonly per: Period
}

/** What came with a request. */
export interface Credentials {
  /** As sent, if it was. */
  readonly apiKey: string | undefined
  /** An ARN that a gateway has checked the signature of; never taken from a header. */
  readonly principal: string | undefined
}

/** Finds the caller of a request. */
export type Identify = (credentials: Credentials) => Caller | undefined

/** At least one of the two is there; where both are, both must be right. */
export interface KnownCaller extends Caller {
  readonly keySha256?: Uint8Array
  /** ARN of an IAM user or role. A role's covers all of its sessions. */
  readonly principal?: string
}

/** Of several entries that fit, the one that asks for more counts, then the one known by its key. */
export function identifyBy(callers: readonly KnownCaller[]): Identify {
  return ({ apiKey, principal }) => {
    const sent = sha256(apiKey ?? '')
    const identity = principal === undefined ? undefined : identityOf(principal)
    let found: KnownCaller | undefined
    let best = 0
    for (const caller of callers) {
      // An empty key is nobody's, even where its hash was listed by mistake.
      const byKey = timingSafeEqual(caller.keySha256 ?? NO_KEY, sent) && Boolean(apiKey)
      const byPrincipal = identity !== undefined && caller.principal === identity
      const fits = (caller.keySha256 === undefined || byKey) && (caller.principal === undefined || byPrincipal)
      const rank = fits ? (byKey ? 2 : 0) + (byPrincipal ? 1 : 0) : 0
      if (rank > best) {
        found = caller
        best = rank
      }
    }
    return found
  }
}

/** Compared where an entry has no key, so that it takes as long as the others; no SHA-256 is known to give it. */
const NO_KEY = new Uint8Array(32)

/**
 * One spelling for a user or role: a session of a role counts as the role, and a role's path is left out, which the ARN of a session
 * does not have. Other ARNs stay as they are.
 */
export function identityOf(arn: string): string {
  const session = /^arn:([a-z-]+):sts::(\d{12}):assumed-role\/([^/]+)\//.exec(arn)
  if (session) return `arn:${session[1]}:iam::${session[2]}:role/${session[3]}`
  const role = /^arn:([a-z-]+):iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/.exec(arn)
  return role ? `arn:${role[1]}:iam::${role[2]}:role/${role[3]}` : arn
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

/** Stands for whoever is unknown. */
export const NOBODY: Caller = { name: '', permissions: new Set(), domains: new Set(), until: 0 }

/** @param domain undefined where the request names none that can be: what else is asked is decided all the same */
export function mayCall(caller: Caller, direction: Direction, domain: string | undefined, wallMs: number): boolean {
  const permitted = caller.permissions.has(direction)
  const inDomain = domain === undefined || caller.domains === undefined || caller.domains.has(domain)
  const inTime = caller.until === undefined || wallMs < caller.until
  return permitted && inDomain && inTime
}

export function isPurpose(text: string): boolean {
  return PURPOSE_PATTERN.test(text)
}

/** Whether a caller may ask for this. @param purpose as sent, if it was */
export function mayAskFor(caller: Caller, direction: Direction, purpose: string | undefined): boolean {
  if (direction !== 'reidentify' || caller.purposes === undefined) return true
  return purpose !== undefined && caller.purposes.has(purpose)
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

/** How a key is stored. Keys are random and long, so a plain hash is as good as a slow one, and costs each request a microsecond. */
export function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
