/** How texts are asked for: as bytes, which they are in pages; as strings for whoever would rather have those. */
import { PseudolakeError } from '../core/errors.ts'
import { packTexts, type TextBatch, unpackTexts } from '../core/texts.ts'
import type { LeafNode } from './schema.ts'

/**
 * Maps texts of a column, never null or empty ones; equal ones once per call, unless every cell stands alone.
 * @returns one for each, same order; null only where the treatment says `nullable`
 */
export type Replace = (
  column: LeafNode,
  texts: readonly string[],
  where: { readonly rowGroup: number },
) => Promise<readonly (string | null)[]>

/** The same from bytes to bytes, without a string for any. @param texts not to be changed @returns buffers that are the caller's from then on */
export type ReplaceBytes = (
  column: LeafNode,
  texts: TextBatch,
  where: { readonly rowGroup: number },
) => Promise<ReplacedTexts>

export interface ReplacedTexts extends TextBatch {
  /** By text: 1 where it becomes null, and is empty here. Missing where none does. */
  readonly nulls?: Uint8Array
}

/** @throws PseudolakeError `internal/bug` where what is answered is none */
export function bytesOfStrings(replace: Replace): ReplaceBytes {
  return async (column, texts, where) => {
    const asked = unpackTexts(texts)
    const answers = await replace(column, asked, where)
    if (answers.length !== asked.length) throw anotherNumber()
    const nulls = new Uint8Array(answers.length)
    const strings = answers.map((answer, i) => {
      if (typeof answer === 'string') return answer
      if (answer !== null) throw noString()
      nulls[i] = 1
      return ''
    })
    const packed = packTexts(strings)
    if (!packed) throw noString()
    return { ...packed, ...(nulls.includes(1) && { nulls }) }
  }
}

/**
 * Fails closed: a value that got no answer must not be taken for one that has none.
 * @throws PseudolakeError `internal/bug` where there are more or fewer answers than texts, or a null that may not be
 */
export function checkReplaced(answer: ReplacedTexts, count: number, nullable: boolean): void {
  const { offsets, bytes, nulls } = answer
  if (offsets.length !== count + 1 || (nulls && nulls.length !== count)) throw anotherNumber()
  if ((offsets[count] as number) > bytes.length) throw anotherNumber()
  if (!nullable && nulls?.includes(1)) throw noString()
}

/**
 * Answers to some texts among `count`; those that were not asked for have none.
 * @param places of the answers, ascending
 * @param othersAreNull whether the others become null, each or as it says. @default they are empty
 * @throws PseudolakeError `internal/bug` where there are more or fewer answers than places
 */
export function spread(
  { bytes, offsets, nulls }: ReplacedTexts,
  places: ArrayLike<number>,
  count: number,
  othersAreNull: boolean | ((i: number) => boolean) = false,
): ReplacedTexts {
  if (offsets.length !== places.length + 1) throw anotherNumber()
  const all = { bytes, offsets: new Uint32Array(count + 1), nulls: new Uint8Array(count) }
  let next = 0
  all.offsets[0] = offsets[0] as number
  for (let i = 0; i < count; i++) {
    if (next < places.length && places[next] === i) {
      all.nulls[i] = nulls?.[next] ?? 0
      next++
    } else all.nulls[i] = Number(typeof othersAreNull === 'function' ? othersAreNull(i) : othersAreNull)
    all.offsets[i + 1] = offsets[next] as number
  }
  return all
}

function anotherNumber(): PseudolakeError {
  return new PseudolakeError('internal/bug', 'replace answered another number of values')
}

function noString(): PseudolakeError {
  return new PseudolakeError('internal/bug', 'replace answered something that is no string')
}
