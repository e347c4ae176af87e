/**
 * Values that the service refuses. They show late, when a row group of many records is asked for and the records themselves are gone: so the
 * session ends there, what it had read is read again, and for a while each record's values are asked for before it becomes a row. A stream
 * without such values pays nothing for it, and one with them a second look at the values of some minutes.
 */
import { isValueFault } from '../../lib/client/faults.ts'
import { KEY_CHECK } from '../../lib/client/key-check.ts'
import type { Pseudonymizer, Question } from '../../lib/client/pseudonymizer.ts'
import type { PseudolakeError } from '../../lib/core/errors.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { pathKey } from '../../lib/parquet/schema.ts'
import type { Pinned } from '../batch/identities.ts'
import type { ColumnRule } from '../batch/job.ts'
import { sentStrings } from '../batch/sent.ts'
import type { StreamColumns } from './fields.ts'
import { BadRecord } from './values.ts'

/** Commits without a refused value, one after the other, after which records are trusted again. */
const CALM_COMMITS = 10
/** Sessions that may end for a refused value although records were looked at, without a commit in between: a service that says now this, now that. */
const MOST_IN_VAIN = 3

/** Whether records are looked at before they become rows. One for a run. */
export class Caution {
  #calm = CALM_COMMITS
  #inVain = 0

  get on(): boolean {
    return this.#calm < CALM_COMMITS
  }

  /** A value was refused when its row was made. @returns whether it may be tried again */
  raise(): boolean {
    if (this.on) this.#inVain++
    this.#calm = 0
    return this.#inVain < MOST_IN_VAIN
  }

  /** @param refused records of the commit whose values were refused */
  committed(refused: number): void {
    this.#inVain = 0
    this.#calm = refused > 0 ? 0 : this.#calm + 1
  }
}

/** Texts of a column, by `pathKey` of its leaf. */
export type RefusedTexts = ReadonlyMap<string, ReadonlySet<string>>

export interface Asking {
  readonly client: Pseudonymizer
  readonly pinned: readonly Pinned[]
  /** Values of a request. */
  readonly most: number
  readonly signal: AbortSignal
}

/**
 * Which texts of some records the service refuses.
 * @param columns of their own: what is decoded here becomes no row
 * @throws PseudolakeError `service/*` where it refuses whatever it is asked, or answers nothing
 */
export async function refusedTexts(
  records: readonly StreamRecord[],
  { decoder, shape }: StreamColumns,
  asking: Asking,
): Promise<RefusedTexts> {
  for (const record of records)
    try {
      decoder.add(record)
    } catch (error) {
      // It is bad by itself, and told so when it is read.
      if (!(error instanceof BadRecord)) throw error
    }
  const { columns } = decoder.take()
  const refused = new Map<string, ReadonlySet<string>>()
  for (const decision of shape.decisions) {
    if (decision.kind !== 'replace') continue
    const { rule, leaf } = decision
    const texts = distinctTexts(columns[leaf.column]?.plain ?? new Uint8Array())
    const found = await ofRule(texts, rule, asking)
    if (found.size > 0) refused.set(pathKey(leaf.path), found)
  }
  return refused
}

/** Of values in PLAIN encoding: four bytes of length in front of each. */
function distinctTexts(plain: Uint8Array): string[] {
  const buffer = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  const texts = new Set<string>()
  for (let at = 0; at < buffer.length; ) {
    const from = at + 4
    at = from + buffer.readUInt32LE(at)
    texts.add(buffer.toString('utf8', from, at))
  }
  return [...texts]
}

async function ofRule(
  texts: readonly string[],
  rule: ColumnRule,
  { client, pinned, most, signal }: Asking,
): Promise<ReadonlySet<string>> {
  const { values, places } = sentStrings(rule)(texts)
  // Texts that are sent as the same value.
  const textsOf = new Map<string, string[]>()
  for (const [i, value] of values.entries()) {
    const text = texts[places[i] as number] as string
    const others = textsOf.get(value)
    if (others) others.push(text)
    else textsOf.set(value, [text])
  }
  const key = pinned.find((candidate) => candidate.rule === rule)?.identity.key
  const question: Question = {
    direction: 'pseudonymize',
    domain: rule.domain,
    deterministic: rule.mode === 'deterministic',
    ...(key !== undefined && { key }),
    signal,
  }
  const distinct = [...textsOf.keys()]
  const refused = new Set<string>()
  for (let from = 0; from < distinct.length; from += most)
    for (const value of await refusedValues(distinct.slice(from, from + most), question, client))
      for (const text of textsOf.get(value) ?? []) refused.add(text)
  return refused
}

/** How often the values that a service names are taken out and the others asked again, before they are halved instead: it may name one at a time. */
const NAMED_ROUNDS = 3

/**
 * Those of a request's values that are refused. Where the service names them that takes two requests; else the request is halved, which takes some
 * 2 log₂ n for each. A value that was found so, unnamed, is believed only if a constant is answered: what refuses that one refuses everything.
 * @throws PseudolakeError `service/*`
 */
export async function refusedValues(
  values: readonly string[],
  question: Question,
  client: Pseudonymizer,
): Promise<string[]> {
  let unnamed: PseudolakeError | undefined
  const sift = async (some: readonly string[], rounds: number): Promise<string[]> => {
    if (some.length === 0) return []
    let named: ReadonlySet<number>
    try {
      await client.call({ ...question, values: some })
      return []
    } catch (error) {
      if (!isValueFault(error)) throw error
      named = placesIn(error, some.length)
      if (some.length === 1) {
        if (named.size === 0) unnamed ??= error
        return [...some]
      }
    }
    if (named.size > 0 && rounds < NAMED_ROUNDS) {
      const rest = some.filter((_, i) => !named.has(i))
      return [...some.filter((_, i) => named.has(i)), ...(await sift(rest, rounds + 1))]
    }
    const middle = some.length >> 1
    return [...(await sift(some.slice(0, middle), rounds)), ...(await sift(some.slice(middle), rounds))]
  }
  const refused = await sift(values, 0)
  if (unnamed)
    await client
      .call({ ...question, values: [KEY_CHECK], deterministic: true, fresh: true })
      .catch((error: unknown) => {
        throw isValueFault(error) ? unnamed : error
      })
  return refused
}

function placesIn({ context }: PseudolakeError, count: number): ReadonlySet<number> {
  const { index, indices } = context
  const places = Array.isArray(indices) ? indices : [index]
  return new Set(places.filter((place): place is number => typeof place === 'number' && place >= 0 && place < count))
}
