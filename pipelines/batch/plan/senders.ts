/** What the values of a plan's columns would be to the service: distinct ones, requests, bytes. */
import { ENVELOPE_BYTES, sizeOf } from '../../../lib/client/size.ts'
import type { ColumnRule } from '../job.ts'
import { sentStrings } from '../sent.ts'
import { Distinct, type DistinctEstimate, type Quality } from './distinct.ts'
import { Pool } from './pool.ts'
import { TYPICAL_BYTES } from './sizes.ts'

export interface SendLimits {
  readonly maxIdentifiers: number
  readonly maxRequestBytes: number
}

export interface Sent {
  readonly distinct: DistinctEstimate
  readonly requests: number
  readonly identifiers: number
  readonly requestBytes: number
  readonly responseBytes: number
}

/** Columns of one domain and key: what one of them has sent, the client knows for the others. */
class Group {
  readonly values: Distinct
  /** Requests that were counted, file by file: each file's last one is not full. */
  requests = 0
  /** Values that were new when they were counted, and their bytes on the wire. */
  counted = 0
  requestBytes = 0
  responseBytes = 0
  /** Cells of mode random: each is sent, whatever others hold. */
  cells = 0
  cellBytes = 0

  constructor(maxBytes: number) {
    this.values = new Distinct(maxBytes)
  }
}

export interface Sender {
  /**
   * Values of a part of a column, as the input has them. The run's own code normalizes them, so a plan can't differ.
   * @returns UTF-8 bytes of each value that would be sent
   */
  observe(texts: readonly string[]): Promise<readonly number[]>
  /** Cells that nobody looked at. */
  unseen(cells: number): void
  /** A chunk that nobody looked into: its cells, how many different values they may be, and bytes of each. */
  guessed(cells: number, distinct: number, utf8: number): void
  /** Cells of mode random, each a value to be sent; bytes of a value, where some were looked at. */
  cells(count: number, utf8: number | undefined): void
  /** The end of a file: its values that were new go out together. */
  endFile(): void
  readonly distinct: DistinctEstimate
  readonly merged: { readonly values: number; readonly quality: Quality } | undefined
}

export class Senders {
  readonly #limits: SendLimits
  readonly #rules: readonly ColumnRule[]
  readonly #maxBytes: number
  readonly #groups = new Map<string, Group>()
  readonly #columns = new Map<string, Sender>()

  /** @param maxBytes of values kept to count exactly, in all */
  constructor(limits: SendLimits, maxBytes: number, rules: readonly ColumnRule[]) {
    this.#limits = limits
    this.#rules = rules
    // A column's own values, those before normalization, and those of its group.
    this.#maxBytes = Math.floor(maxBytes / Math.max(1, 3 * rules.length))
  }

  of(rule: ColumnRule): Sender {
    const known = this.#columns.get(rule.name)
    if (known) return known
    const name = groupOf(rule)
    const group = this.#groups.get(name) ?? new Group(this.#maxBytes)
    this.#groups.set(name, group)
    const sender = this.#sender(rule, group)
    this.#columns.set(rule.name, sender)
    return sender
  }

  #sender(rule: ColumnRule, group: Group): Sender {
    // Alone in its group, a column's values are the group's: counted once, for half the work.
    const alone = this.#rules.filter((other) => groupOf(other) === groupOf(rule)).length === 1
    const own = alone ? group.values : new Distinct(this.#maxBytes)
    const raw = rule.normalize.length > 0 ? new Distinct(this.#maxBytes) : undefined
    const sentOf = sentStrings(rule)
    let fresh = 0
    const pool = new Pool()
    let [guessed, guessedBytes] = [0, TYPICAL_BYTES]
    return {
      observe: async (texts) => {
        const { values, places } = sentOf(texts)
        // What becomes null or empty is no value before normalization either.
        if (raw) for (const place of places) raw.add(texts[place] as string)
        return values.map((value) => {
          if (!alone) own.add(value)
          if (!group.values.add(value)) return Buffer.byteLength(value)
          const { utf8, request, response } = sizeOf(value, 'pseudonymize')
          fresh++
          group.counted++
          group.requestBytes += request
          group.responseBytes += response
          return utf8
        })
      },
      unseen: (cells) => {
        if (!alone) own.unseen(cells)
        group.values.unseen(cells)
        raw?.unseen(cells)
      },
      guessed: (cells, distinct, utf8) => {
        own.guess(pool)
        group.values.guess(pool)
        pool.add(cells, distinct)
        guessedBytes = utf8
      },
      cells: (count, utf8) => {
        group.cells += count
        group.cellBytes += count * ((utf8 ?? TYPICAL_BYTES) + QUOTES_BYTES)
      },
      endFile: () => {
        const more = Math.max(0, pool.distinct - guessed)
        guessed += more
        fresh += more
        group.counted += more
        group.requestBytes += more * (guessedBytes + QUOTES_BYTES)
        group.responseBytes += more * ((4 / 3) * guessedBytes + ANSWER_BYTES)
        group.requests += Math.ceil(fresh / this.#perRequest(group))
        fresh = 0
      },
      get distinct() {
        return own.estimate()
      },
      get merged() {
        if (!raw || pool.cells > 0) return undefined
        const [before, after] = [raw.estimate(), own.estimate()]
        // Two estimates differ by chance too.
        const values = Math.max(0, before.values - after.values)
        return { values, quality: before.quality === 'exact' ? after.quality : before.quality }
      },
    }
  }

  #perRequest({ counted, requestBytes, responseBytes }: Group): number {
    const { maxIdentifiers, maxRequestBytes } = this.#limits
    if (counted === 0) return maxIdentifiers
    const bytes = Math.max(requestBytes, responseBytes) / counted
    return Math.max(1, Math.min(maxIdentifiers, Math.floor((maxRequestBytes - ENVELOPE_BYTES) / bytes)))
  }

  total(): Sent {
    const parts = [...this.#groups.values()].map((group) => {
      const distinct = group.values.estimate()
      const each = Math.max(1, group.counted)
      // Values that are there and were not counted one by one: too many to keep, not looked at, or cells of their own.
      const planned = distinct.quality === 'guessed' ? distinct.values : distinct.at_most
      const deterministic = group.values.counted ? planned : Math.max(planned, group.counted)
      const identifiers = deterministic + group.cells
      const rest = Math.max(0, identifiers - group.counted)
      const requests = group.requests + Math.ceil(rest / this.#perRequest(group))
      const size = (counted: number, cells: number, typical: number) =>
        Math.round(counted + (rest - group.cells) * (group.counted === 0 ? typical : counted / each) + cells) +
        requests * ENVELOPE_BYTES
      return {
        distinct,
        requests,
        identifiers,
        requestBytes: requests === 0 ? 0 : size(group.requestBytes, group.cellBytes, TYPICAL_BYTES + QUOTES_BYTES),
        responseBytes:
          requests === 0
            ? 0
            : size(
                group.responseBytes,
                group.cells * ANSWER_BYTES + (4 / 3) * group.cellBytes,
                TYPICAL_BYTES + ANSWER_BYTES,
              ),
      }
    })
    const sum = (of: (part: (typeof parts)[number]) => number) => parts.reduce((total, part) => total + of(part), 0)
    const qualities = parts.map(({ distinct }) => distinct.quality)
    return {
      distinct: {
        values: sum(({ distinct }) => distinct.values),
        at_most: sum(({ distinct }) => distinct.at_most),
        quality:
          (['guessed', 'at-most', 'estimated'] as const).find((quality) => qualities.includes(quality)) ?? 'exact',
      },
      requests: sum(({ requests }) => requests),
      identifiers: sum(({ identifiers }) => identifiers),
      requestBytes: sum(({ requestBytes }) => requestBytes),
      responseBytes: sum(({ responseBytes }) => responseBytes),
    }
  }
}

function groupOf({ domain, key }: ColumnRule): string {
  return `${domain}\0${key ?? ''}`
}

const QUOTES_BYTES = 3
/** Of a pseudonym beside the identifier's own bytes in base64. */
const ANSWER_BYTES = 54
