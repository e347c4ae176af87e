import { type BytesPseudonymizer, bytesOf, overStrings } from '../bytes.ts'
import { relocated } from '../faults.ts'
import { checkNumber } from '../options.ts'
import { groupOf, type PseudonymAnswer, type Pseudonymizer, type PseudonymRequest, passesBy } from '../pseudonymizer.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

export interface CacheOptions {
  /** Upper bound of what is kept, keys and bookkeeping included; 0 keeps nothing. @default 64 MiB */
  readonly maxBytes?: number
  readonly stats?: ClientStats
}

export const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024

/**
 * Heap bytes of an entry beyond its characters: two string headers (16 each, rounded up to 8), and the map's own entry, which is
 * 24 bytes and up to twice that while the table is half empty, with the same again for a moment while it grows.
 */
const ENTRY_BYTES = 128

/**
 * Remembers answers, per direction, domain and key. Mode random, `fresh` and `once` requests pass by.
 *
 * Evicts by two generations: entries go into the young map; when it has half the bound, it becomes the old one and the old one is
 * dropped. A hit in the old map moves the entry to the young one. What is used stays, as with LRU, but a hit costs no reordering
 * and an eviction no search, and both maps together never exceed the bound. Characters count two bytes each, though V8 often needs
 * one: the bound is a promise.
 */
export function cache(next: Pseudonymizer, options: CacheOptions = {}): BytesPseudonymizer {
  const { maxBytes = DEFAULT_CACHE_BYTES, stats = emptyStats() } = options
  checkNumber('maxBytes', maxBytes, { min: 0 })
  const half = Math.floor(maxBytes / 2)
  let young = generation()
  let old = generation()

  function lookUp(group: string, value: string): string | undefined {
    const fromYoung = young.groups.get(group)?.get(value)
    if (fromYoung !== undefined) return fromYoung
    const fromOld = old.groups.get(group)?.get(value)
    if (fromOld !== undefined) keep(group, value, fromOld)
    return fromOld
  }

  function keep(group: string, value: string, answer: string): void {
    let entries = young.groups.get(group)
    const bytes = 2 * (value.length + answer.length) + ENTRY_BYTES + (entries ? 0 : 2 * group.length + 4 * ENTRY_BYTES)
    if (bytes > half) return
    if (young.bytes + bytes > half) {
      stats.evicted += old.entries
      old = young
      young = generation()
      keep(group, value, answer)
      return
    }
    if (entries === undefined) {
      entries = new Map()
      young.groups.set(group, entries)
    }
    const before = entries.size
    entries.set(value, answer)
    if (entries.size === before) return
    young.bytes += bytes
    young.entries++
  }

  async function call(request: PseudonymRequest): Promise<PseudonymAnswer> {
    if (passesBy(request) || maxBytes === 0) return next.call(request)
    request.signal?.throwIfAborted()
    const group = groupOf(request)
    const { values } = request
    const answers = new Array<string>(values.length)
    const missing: number[] = []
    for (let i = 0; i < values.length; i++) {
      const found = lookUp(group, values[i] as string)
      if (found === undefined) missing.push(i)
      else answers[i] = found
    }
    stats.cacheHits += values.length - missing.length
    if (missing.length === 0) return { values: answers }

    const asked = missing.length === values.length ? values : missing.map((i) => values[i] as string)
    const answer = await next.call({ ...request, values: asked }).catch((error: unknown) => {
      throw relocated(error, (i) => missing[i])
    })
    for (let i = 0; i < missing.length; i++) {
      const found = answer.values[i] as string
      answers[missing[i] as number] = found
      keep(group, asked[i] as string, found)
    }
    return { ...answer, values: answers }
  }

  const nextBytes = bytesOf(next)
  const byStrings = overStrings({ call })
  return {
    call,
    callBytes: (request) => (passesBy(request) || maxBytes === 0 ? nextBytes(request) : byStrings(request)),
  }
}

interface Generation {
  readonly groups: Map<string, Map<string, string>>
  bytes: number
  entries: number
}

function generation(): Generation {
  return { groups: new Map(), bytes: 0, entries: 0 }
}
