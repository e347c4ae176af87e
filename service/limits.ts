/**
 * A bucket of tokens for each name: `perSecond` of them come in each second, as many can wait. Pure but for its own memory; time is
 * handed in.
 */
export function rateLimit(perSecond: number): (name: string, nowMs: number) => { readonly waitMs: number } {
  const size = Math.max(1, perSecond)
  const buckets = new Map<string, { tokens: number; at: number }>()
  return (name, nowMs) => {
    const bucket = buckets.get(name) ?? { tokens: size, at: nowMs }
    buckets.set(name, bucket)
    bucket.tokens = Math.min(size, bucket.tokens + ((nowMs - bucket.at) * perSecond) / 1000)
    bucket.at = nowMs
    if (bucket.tokens < 1) return { waitMs: ((1 - bucket.tokens) * 1000) / perSecond }
    bucket.tokens -= 1
    return { waitMs: 0 }
  }
}
