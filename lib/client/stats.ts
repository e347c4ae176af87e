/** Counters of one client, written by its layers. Numbers only, so that they can be printed anywhere. */
export interface ClientStats {
  /** Attempts that reached the transport: retries, pieces of a bisected request and key checks included. */
  requests: number
  /** Values in the requests that were answered; a value that was retried counts once. */
  identifiers: number
  /** Attempts after a failed one. */
  retries: number
  /** Attempts refused with 429, or with 503 and `Retry-After`. */
  throttled: number
  /** Attempts that got no answer in time. */
  timeouts: number
  /** Requests cut in two because the service refused them as too large. */
  bisected: number
  /** Values answered from the cache. */
  cacheHits: number
  /** Values answered by a request that another value, or another call, had caused. */
  shared: number
  /** Values that neither cache nor dedupe could answer: the distinct values, as long as the cache evicts nothing. */
  distinct: number
  /** Values the cache gave up to stay within its bound. */
  evicted: number
}

export function emptyStats(): ClientStats {
  return {
    requests: 0,
    identifiers: 0,
    retries: 0,
    throttled: 0,
    timeouts: 0,
    bisected: 0,
    cacheHits: 0,
    shared: 0,
    distinct: 0,
    evicted: 0,
  }
}
