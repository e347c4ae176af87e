/**
 * Strings and bytes, into each other. From `batch` down every layer works on bytes: a pipeline's values are bytes in its pages and in
 * the body of the request. Who has strings, and what takes strings, gets them here and nowhere else.
 */
import { PseudolakeError } from '../core/errors.ts'
import { countOf, notUtf8, packTexts, type TextBatch, unpackTexts } from '../core/texts.ts'
import { badAnswer } from './bad-answer.ts'
import type { BytesAnswer, BytesRequest, Direction, Pseudonymizer } from './pseudonymizer.ts'

export type CallBytes = (request: BytesRequest) => Promise<BytesAnswer>

/** A pseudonymizer that has both ways. */
export type BytesPseudonymizer = Pseudonymizer & { readonly callBytes: CallBytes }

/** The port for what works on bytes: strings are packed on their way down. */
export function overBytes(callBytes: CallBytes): BytesPseudonymizer {
  return {
    callBytes,
    async call({ values, ...question }) {
      const packed = packTexts(values)
      if (packed === undefined) throw notUnicode(values, question.direction)
      const answer = await callBytes({ ...question, values: packed })
      return { ...answer, values: unpackTexts(answer.values) }
    },
  }
}

/** `next` from bytes to bytes; one that has no such way is asked with strings. */
export function bytesOf(next: Pseudonymizer): CallBytes {
  return next.callBytes ? (request) => (next as BytesPseudonymizer).callBytes(request) : overStrings(next)
}

/** From bytes to bytes by strings. @throws PseudolakeError as {@link requireTexts} and {@link packAnswer} */
export function overStrings(next: Pick<Pseudonymizer, 'call'>): CallBytes {
  return async ({ values, ...question }) => {
    requireTexts(values, question.direction)
    const asked = unpackTexts(values)
    const answer = await next.call({ ...question, values: asked })
    return { ...answer, values: packAnswer(answer.values, asked.length) }
  }
}

/**
 * An answer's values, which a service or somebody's transport gave, as bytes.
 * @throws PseudolakeError `service/bad-answer` where they are not as many texts as were asked for
 */
export function packAnswer(values: unknown, count: number): TextBatch {
  if (!Array.isArray(values)) throw badAnswer('no list of values')
  if (values.length !== count) throw anotherLength(count, values.length)
  for (let i = 0; i < count; i++) {
    const value: unknown = values[i]
    if (typeof value !== 'string') throw badAnswer(`${value === null ? 'null' : typeof value} for a value`, i)
  }
  const packed = packTexts(values)
  if (packed) return packed
  throw badAnswer(
    'a lone surrogate in a value',
    values.findIndex((value: string) => !value.isWellFormed()),
  )
}

export function anotherLength(asked: number, got: number): PseudolakeError {
  return badAnswer(`another length: asked for ${asked} values, got ${got}`)
}

/**
 * @returns how many texts there are
 * @throws PseudolakeError `identifier/invalid` or `pseudonym/invalid` where one is not UTF-8; RangeError where the offsets are not what they must be
 */
export function requireTexts(batch: TextBatch, direction: Direction): number {
  const count = countOf(batch)
  const index = notUtf8(batch)
  if (index < 0) return count
  const length = (batch.offsets[index + 1] as number) - (batch.offsets[index] as number)
  throw new PseudolakeError(invalidCode(direction), `value: expected UTF-8, got ${length} bytes that are none`, {
    index,
    length,
  })
}

function notUnicode(values: readonly string[], direction: Direction): PseudolakeError {
  const index = values.findIndex((value) => !value.isWellFormed())
  const { length } = values[index] as string
  return new PseudolakeError(invalidCode(direction), 'value: expected well-formed Unicode, got a lone surrogate', {
    index,
    length,
  })
}

function invalidCode(direction: Direction) {
  return direction === 'pseudonymize' ? 'identifier/invalid' : 'pseudonym/invalid'
}
