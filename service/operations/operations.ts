import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import type { Keyring } from '../../lib/crypto/keyring.ts'
import { MAX_IDENTIFIER_BYTES } from '../../lib/wire/contract.ts'
import { MAX_ITEM_ERRORS } from '../../lib/wire/problem.ts'

/**
 * What the service does, apart from how it is asked: for the HTTP server, and for a client in the same process. No I/O.
 *
 * A request is answered whole or refused whole: an answer with gaps ends up in a table as data.
 */

export interface OperationRequest {
  readonly domain: string
  /** Pins a key. */
  readonly key?: string
  /** A null gives a null; undefined stands for what is no text, and is refused. */
  readonly values: readonly (string | null | undefined)[]
}

export interface OperationAnswer {
  /** Same order and length as the request's; null exactly where that has null. */
  readonly values: readonly (string | null)[]
  readonly domain: string
  /** Ids of the keys used, in the order of their first use; on the way forward the one, though there be no values. */
  readonly keys: readonly string[]
}

export interface OperationOptions {
  /** Most bytes of the answer as a JSON list. Looked at before the work is done; forward only. @default no limit */
  readonly maxListBytes?: number
  /** Awaited between slices of the work: lets others have the thread, or stops it by throwing. */
  readonly pause?: () => Promise<void>
}

/** Values between two pauses; 50 ms of the slowest kernel. */
const SLICE = 2_000

/**
 * @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key`, `service/too-large`; `identifier/invalid` with `indices`
 * and, for each, its code in `codes`: `identifier/not-unicode` or `identifier/invalid`
 */
export async function pseudonymize(
  keyring: Keyring,
  request: OperationRequest & { readonly deterministic: boolean },
  { maxListBytes = Number.POSITIVE_INFINITY, pause }: OperationOptions = {},
): Promise<OperationAnswer> {
  const { domain, deterministic, values } = request
  const kernel = keyring.forward(domain, request.key)
  const refused = refusals('identifier/invalid')
  let listBytes = '[]'.length
  for (const [i, value] of values.entries()) {
    const bytes = typeof value === 'string' ? Buffer.byteLength(value) : 0
    if (value === null) listBytes += 'null,'.length
    else if (value === undefined || bytes > MAX_IDENTIFIER_BYTES) refused.add(i)
    else if (!value.isWellFormed()) refused.add(i, 'identifier/not-unicode')
    else listBytes += '"",'.length + kernel.pseudonymLength(bytes)
  }
  refused.throwIfAny(values.length)
  if (values.length > 0) listBytes -= ','.length
  if (listBytes > maxListBytes)
    throw new PseudolakeError('service/too-large', `the answer would have ${listBytes} bytes`, { bytes: listBytes })

  const answer = new Array<string | null>(values.length).fill(null)
  for (const places of slices(placesOf(values))) {
    const made = kernel.pseudonymize(at(values, places), { deterministic })
    scatter(made, places, answer)
    await pause?.()
  }
  return { values: answer, domain, keys: [kernel.key.id] }
}

/**
 * @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key`; `pseudonym/invalid` with `indices` and `codes`
 */
export async function reidentify(
  keyring: Keyring,
  { domain, key, values }: OperationRequest,
  { pause }: OperationOptions = {},
): Promise<OperationAnswer> {
  const keys = keyring.back(domain, key)
  const refused = refusals('pseudonym/invalid')
  const byKernel = new Map<PseudonymKernel, number[]>()
  for (const [i, value] of values.entries()) {
    if (value === null) continue
    const kernel =
      value === undefined ? undefined : value.startsWith('p2.') ? keys.byId(value.slice(3, 7)) : keys.original
    if (!kernel) {
      refused.add(i)
      continue
    }
    const places = byKernel.get(kernel)
    if (places) places.push(i)
    else byKernel.set(kernel, [i])
  }

  const answer = new Array<string | null>(values.length).fill(null)
  for (const [kernel, all] of byKernel)
    for (const places of slices(all)) {
      try {
        scatter(kernel.reidentify(at(values, places)), places, answer)
      } catch (error) {
        if (!isPseudolakeError(error, 'pseudonym/invalid')) throw error
        const indices = error.context.indices as readonly number[]
        for (const i of indices) refused.add(places[i] ?? -1)
        refused.more(Number(error.context.count) - indices.length)
      }
      await pause?.()
    }
  refused.throwIfAny(values.length)
  return { values: answer, domain, keys: [...byKernel.keys()].map((kernel) => kernel.key.id) }
}

function placesOf(values: readonly (string | null | undefined)[]): number[] {
  const places: number[] = []
  for (let i = 0; i < values.length; i++) if (typeof values[i] === 'string') places.push(i)
  return places
}

function* slices(places: readonly number[]): Generator<readonly number[]> {
  for (let i = 0; i < places.length; i += SLICE) yield places.slice(i, i + SLICE)
}

/** The texts at `places`, where there are texts. */
function at(values: readonly (string | null | undefined)[], places: readonly number[]): string[] {
  return places.map((i) => values[i] as string)
}

function scatter(results: readonly string[], places: readonly number[], into: (string | null)[]): void {
  // A kernel that dropped one would shift all that follow onto other people.
  if (results.length !== places.length)
    throw new PseudolakeError('internal/bug', `the kernel answered ${results.length} of ${places.length} values`)
  for (const [i, place] of places.entries()) into[place] = results[i] as string
}

function refusals(code: 'identifier/invalid' | 'pseudonym/invalid') {
  const found: { index: number; code: string }[] = []
  let unlisted = 0
  return {
    /** Some that were not listed; they come after those that were. */
    more(count: number) {
      unlisted += count
    },
    add(index: number, itsCode: string = code) {
      found.push({ index, code: itsCode })
    },
    throwIfAny(of: number) {
      const [first] = found.sort((a, b) => a.index - b.index)
      if (!first) return
      const named = found.slice(0, MAX_ITEM_ERRORS)
      throw new PseudolakeError(
        code,
        `${found.length + unlisted} of ${of} values are refused, the first at index ${first.index}`,
        {
          index: first.index,
          indices: named.map((item) => item.index),
          codes: named.map((item) => item.code),
        },
      )
    },
  }
}
