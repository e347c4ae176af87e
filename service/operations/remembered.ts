import { discard, pickTexts, type TextBatch } from '../../lib/core/texts.ts'
import { type Known, merged, type PseudonymCache } from '../../lib/crypto/cache/cache.ts'
import { type RefusalCode, refusals } from '../../lib/crypto/refusal.ts'

/** What a caller asked before, and by whom it is known. */
export interface Remembered {
  readonly cache: PseudonymCache
  readonly caller: object
}

/**
 * Answers what is known, has the rest made, and keeps that.
 * @param make of one key's texts, as many as it is given and in their order
 * @throws PseudolakeError as `make` does, with indices into `texts`
 */
export async function throughCache(
  known: Known,
  texts: TextBatch,
  code: RefusalCode,
  make: (texts: TextBatch) => Promise<TextBatch>,
): Promise<TextBatch> {
  const looked = known.look(texts)
  const { missing } = looked
  if (missing.length === 0) return looked.made
  const count = texts.offsets.length - 1
  if (missing.length === count) {
    const made = await make(texts)
    known.keep(texts, made)
    return made
  }
  const asked = pickTexts(texts, missing)
  try {
    const made = await make(asked)
    known.keep(asked, made)
    const all = merged(looked, made)
    discard(made.bytes)
    return all
  } catch (error) {
    const refused = refusals(code)
    refused.absorb(error, (i) => missing[i] as number)
    refused.throwIfAny(count)
    throw error
  } finally {
    discard(asked.bytes)
    discard(looked.made.bytes)
  }
}
