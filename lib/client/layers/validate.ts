import { areDistinct } from '../../core/text-engine.ts'
import { countOf, notUtf8, type TextBatch, unpackTexts } from '../../core/texts.ts'
import { DEFAULT_DOMAIN } from '../../wire/contract.ts'
import { FORM, pseudonymForms, SHORTEST_PSEUDONYM, V2_KEY_AT, V2_KEY_LENGTH } from '../../wire/forms.ts'
import { badAnswer as bad } from '../bad-answer.ts'
import { anotherLength, type BytesPseudonymizer, bytesOf, overBytes } from '../bytes.ts'
import type { BytesAnswer, BytesRequest, Echo, Pseudonymizer, Question } from '../pseudonymizer.ts'

/**
 * Refuses an answer that cannot be right (`service/bad-answer`, never tried again), before anything else sees it: what passes here
 * goes into caches and tables (design: the client refuses). A pipeline that is told a wrong thing with status 200 must stop, not
 * write it down.
 *
 * - another length; a null, or anything that is no text (`packAnswer` of bytes.ts);
 * - a pseudonym that equals an identifier of the request, or has no known form;
 * - one pseudonym for two identifiers; in mode random for two cells, in mode deterministic two pseudonyms for one identifier;
 * - on the way back, a value that is sent back as it came: an identifier is always shorter than its pseudonym;
 * - another domain or key than asked for. A header that is missing, of domain or key, is accepted only for domain `default` without a pinned key, as
 *   the original service sends none. A v2 pseudonym names its key itself, so it must agree with pin and echo.
 */
export function validate(next: Pseudonymizer): BytesPseudonymizer {
  const ask = bytesOf(next)
  return overBytes(async (request) => {
    const answer = await ask(request)
    checkCount(request, answer)
    checkEcho(request, answer)
    if (request.direction === 'pseudonymize') checkPseudonyms(request, answer)
    else checkIdentifiers(request, answer)
    return answer
  })
}

function checkCount({ values }: BytesRequest, answer: BytesAnswer): void {
  let count: number
  try {
    count = countOf(answer.values)
  } catch {
    throw bad('no batch of values')
  }
  if (count !== values.offsets.length - 1) throw anotherLength(values.offsets.length - 1, count)
}

function checkEcho({ domain, key }: Question, answer: Echo): void {
  const echoRequired = domain !== DEFAULT_DOMAIN || key !== undefined
  if (answer.domain === undefined && echoRequired) throw bad('does not say which domain it used')
  if (answer.domain !== undefined && answer.domain !== domain) throw bad('made in another domain')
  if (echoRequired && !answer.keys?.length) throw bad('does not say which key it used')
  if (key !== undefined && answer.keys?.some((used) => used !== key)) throw bad('made with another key')
}

function checkPseudonyms(request: BytesRequest, answer: BytesAnswer): void {
  const { values: identifiers, deterministic } = request
  const { keys, values: pseudonyms } = answer
  if (keys !== undefined && keys.length > 1) throw bad('names more than one key')
  const key = request.key ?? keys?.[0]
  const sent = ofPseudonymForm(identifiers)
  const { bytes, offsets } = pseudonyms
  const forms = pseudonymForms(pseudonyms)
  for (let i = 0; i < forms.length; i++) {
    const from = offsets[i] as number
    const form = forms[i]
    // What has not the form of a pseudonym can be equal only to an identifier that has none either: all but its own would be in vain.
    const returned =
      form === FORM.NONE
        ? areEqual(pseudonyms, i, identifiers)
        : sent?.has(latin1(bytes, from, offsets[i + 1] as number))
    if (returned) throw bad('an identifier of the request in place of a pseudonym', i)
    if (form === FORM.NONE) throw bad('a text that has no known form of pseudonym', i)
    if (form !== forms[0]) throw bad('pseudonyms of two forms', i)
    if (form === FORM.V2 && key !== undefined && !hasKey(bytes, from, key)) throw bad('made with another key', i)
  }
  // As many pseudonyms as identifiers, all different: nothing more to look for. Which is how it nearly always is.
  // Who sends each value once can't have been told two pseudonyms for one.
  if (areDistinct(pseudonyms) && (!deterministic || request.once || areDistinct(identifiers))) return
  checkOneToOne(unpackTexts(identifiers), unpackTexts(pseudonyms), deterministic)
}

/** The identifiers that have the form of a pseudonym: no other can be one. */
function ofPseudonymForm(identifiers: TextBatch): ReadonlySet<string> | undefined {
  const { bytes, offsets } = identifiers
  // Nearly all identifiers are too short.
  if (longest(identifiers) < SHORTEST_PSEUDONYM) return undefined
  const forms = pseudonymForms(identifiers)
  let found: Set<string> | undefined
  for (let i = 0; i < forms.length; i++) {
    if (forms[i] === FORM.NONE) continue
    found ??= new Set()
    found.add(latin1(bytes, offsets[i] as number, offsets[i + 1] as number))
  }
  return found
}

function longest({ offsets }: TextBatch): number {
  let most = 0
  for (let i = 1; i < offsets.length; i++) most = Math.max(most, (offsets[i] as number) - (offsets[i - 1] as number))
  return most
}

function checkOneToOne(identifiers: readonly string[], pseudonyms: readonly string[], deterministic: boolean): void {
  const ownerOf = new Map<string, string>()
  const pseudonymOf = new Map<string, string>()
  for (let i = 0; i < identifiers.length; i++) {
    const identifier = identifiers[i] as string
    const pseudonym = pseudonyms[i] as string
    const owner = ownerOf.get(pseudonym)
    if (owner !== undefined && owner !== identifier) throw bad('one pseudonym for two identifiers', i)
    if (owner !== undefined && !deterministic) throw bad('one pseudonym for two cells in mode random', i)
    ownerOf.set(pseudonym, identifier)
    if (!deterministic) continue
    const known = pseudonymOf.get(identifier)
    if (known !== undefined && known !== pseudonym) throw bad('two pseudonyms for one identifier', i)
    pseudonymOf.set(identifier, pseudonym)
  }
}

function checkIdentifiers({ values: pseudonyms }: BytesRequest, { values }: BytesAnswer): void {
  const index = notUtf8(values)
  if (index >= 0) throw bad('bytes that are no text', index)
  for (let i = 0; i < values.offsets.length - 1; i++)
    if (areEqual(values, i, pseudonyms)) throw bad('a pseudonym in place of its identifier', i)
}

/** Whether the i-th texts of two batches are equal. */
function areEqual(a: TextBatch, i: number, b: TextBatch): boolean {
  const [from, to] = [a.offsets[i] as number, a.offsets[i + 1] as number]
  const [start, end] = [b.offsets[i] as number, b.offsets[i + 1] as number]
  return to - from === end - start && Buffer.compare(a.bytes.subarray(from, to), b.bytes.subarray(start, end)) === 0
}

/** Whether the v2 pseudonym that begins there names the key. */
function hasKey(bytes: Uint8Array, from: number, key: string): boolean {
  if (key.length !== V2_KEY_LENGTH) return false
  for (let i = 0; i < V2_KEY_LENGTH; i++) if (bytes[from + V2_KEY_AT + i] !== key.charCodeAt(i)) return false
  return true
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', from, to)
}
