import type { TextBatch } from '../../lib/core/texts.ts'
import type { Keyring } from '../../lib/crypto/keyring.ts'
import { type Listed, readList, type Unreadable } from '../../lib/wire/body.ts'
import { type Direction, FIELDS, MAX_BODY_BYTES, MAX_VALUES, type Query } from '../../lib/wire/contract.ts'
import { readTexts, writeList } from '../../lib/wire/list.ts'
import { pseudonymize, pseudonymizeBytes, reidentify, reidentifyBytes } from './operations.ts'
import type { RunOptions } from './run.ts'

/**
 * From a request's body to its answer's. A body that is nothing but a list of texts, as nearly every one is, stays bytes on the whole way: what
 * is in it is read into the kernel's shape and back out of it by one call each, and no string is made of a value. Every other body is
 * parsed as JSON, and its values are strings.
 */
export interface Asked {
  /** Values, nulls included. */
  readonly count: number
  /** @throws PseudolakeError as the operations do (operations.ts) */
  answer(keyring: Keyring, query: Query, options: RunOptions): Promise<Answered>
}

export interface Answered {
  /** JSON in UTF-8. */
  readonly body: Uint8Array
  readonly domain: string
  /** Ids of the keys used. */
  readonly keys: readonly string[]
}

/** @returns what is asked for, or what is wrong with the body (never a value) */
export function readAsked(body: Uint8Array, direction: Direction): Asked | Unreadable {
  const fields = FIELDS[direction]
  const texts = readTexts([body], fields.request, MAX_VALUES)
  if (texts) return askedBytes(texts, direction)
  const values = readList(body, fields.request)
  return 'wrong' in values ? values : askedStrings(values, direction)
}

function askedBytes(values: TextBatch, direction: Direction): Asked {
  const operation = direction === 'pseudonymize' ? pseudonymizeBytes : reidentifyBytes
  const field = FIELDS[direction].answer
  return {
    count: values.offsets.length - 1,
    async answer(keyring, query, options) {
      const made = await operation(keyring, { ...query, values }, { ...options, maxListBytes: mostFor(field) })
      return { body: writeList(field, made.values), domain: made.domain, keys: made.keys }
    },
  }
}

function askedStrings(values: readonly Listed[], direction: Direction): Asked {
  const operation = direction === 'pseudonymize' ? pseudonymize : reidentify
  const field = FIELDS[direction].answer
  return {
    count: values.length,
    async answer(keyring, query, options) {
      const made = await operation(keyring, { ...query, values }, { ...options, maxListBytes: mostFor(field) })
      return {
        body: Buffer.from(JSON.stringify({ [field]: made.values }), 'utf8'),
        domain: made.domain,
        keys: made.keys,
      }
    },
  }
}

/** What is left of a body for the list itself. */
function mostFor(field: string): number {
  return MAX_BODY_BYTES - `{"${field}":}`.length
}
