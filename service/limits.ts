import type { Caller, Period, Quota, Rate } from './auth.ts'

/** What a caller may use of the service. Pure but for its own memory; time is handed in. */

/** A bucket of tokens for each name: some come in each second, `burst` can wait. */
export function rateLimit(): (name: string, rate: Rate, nowMs: number) => { readonly waitMs: number } {
  const buckets = new Map<string, { tokens: number; at: number }>()
  return (name, { perSecond, burst }, nowMs) => {
    const bucket = buckets.get(name) ?? { tokens: burst, at: nowMs }
    buckets.set(name, bucket)
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.at) * perSecond) / 1000)
    bucket.at = nowMs
    if (bucket.tokens < 1) return { waitMs: ((1 - bucket.tokens) * 1000) / perSecond }
    bucket.tokens -= 1
    return { waitMs: 0 }
  }
}

/** Requests of each caller in the period it is in. What a store keeps of it. */
export interface Usage {
  readonly [caller: string]: { readonly period: string; readonly requests: number }
}

export interface Quotas {
  /** Counts a request. @returns how long there will be no more of them; 0 where this one is in */
  take(name: string, quota: Quota, wallMs: number): { readonly waitMs: number }
  /** What was counted so far. */
  usage(): Usage
}

/** @param used what earlier processes counted */
export function quotas(used: Usage = {}): Quotas {
  const counts = new Map(Object.entries(used).map(([name, { period, requests }]) => [name, { period, requests }]))
  return {
    take(name, { requests, per }, wallMs) {
      const { label, endsMs } = periodOf(per, wallMs)
      const count = counts.get(name)
      if (count?.period !== label) counts.set(name, { period: label, requests: 1 })
      else if (count.requests >= requests) return { waitMs: endsMs - wallMs }
      else count.requests++
      return { waitMs: 0 }
    },
    usage: () => Object.fromEntries(counts),
  }
}

/** The day, week or month a time lies in, in UTC, and when it is over. */
export function periodOf(per: Period, wallMs: number): { readonly label: string; readonly endsMs: number } {
  const at = new Date(wallMs)
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  if (per === 'month') return { label: at.toISOString().slice(0, 7), endsMs: Date.UTC(year, month + 1, 1) }
  const first = per === 'day' ? day : day - ((at.getUTCDay() + 6) % 7)
  const begins = new Date(Date.UTC(year, month, first)).toISOString().slice(0, 10)
  return { label: `${per} ${begins}`, endsMs: Date.UTC(year, month, first + (per === 'day' ? 1 : 7)) }
}

/** Says whether a caller may have one more request now, and counts it. */
export type Limit = (caller: Caller, nowMs: number, wallMs: number) => Refused | undefined

export type Refused = {
  readonly code: 'request/throttled' | 'request/quota'
  readonly retryAfterSeconds: number
}

/**
 * Rates and quotas of all callers. What the rate refuses does not count against the quota.
 * @param rate of callers that have none of their own
 */
export function usageLimits(counted: Quotas, rate: Rate | undefined): Limit {
  const bucket = rateLimit()
  return (caller, nowMs, wallMs) => {
    const own = caller.rate ?? rate
    const waitMs = own ? bucket(caller.name, own, nowMs).waitMs : 0
    if (waitMs > 0) return { code: 'request/throttled', retryAfterSeconds: Math.ceil(waitMs / 1000) }
    const restMs = caller.quota ? counted.take(caller.name, caller.quota, wallMs).waitMs : 0
    return restMs > 0 ? { code: 'request/quota', retryAfterSeconds: Math.ceil(restMs / 1000) } : undefined
  }
}
