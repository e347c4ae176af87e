import { PseudolakeError } from '../../core/errors.ts'
import { DEFAULT_DOMAIN } from '../../wire/contract.ts'
import { pseudonymForm } from '../../wire/forms.ts'
import type { PseudonymAnswer, Pseudonymizer, PseudonymRequest } from '../pseudonymizer.ts'

/**
 * Refuses an answer that cannot be right (`service/bad-answer`, never tried again), before anything else sees it: what passes here
 * goes into caches and tables (design: the client refuses). A pipeline that is told a wrong thing with status 200 must stop, not
 * write it down.
 *
 * - another length; a null, or anything that is no text;
 * - a pseudonym that equals an identifier of the request, or has no known form;
 * - one pseudonym for two identifiers; in mode random for two cells, in mode deterministic two pseudonyms for one identifier;
 * - on the way back, a value that is sent back as it came: an identifier is always shorter than its pseudonym;
 * - another domain or key than asked for. A header that is missing, of domain or key, is accepted only for domain `default` without a pinned key, as
 *   the original service sends none. A v2 pseudonym names its key itself, so it must agree with pin and echo.
 */
export function validate(next: Pseudonymizer): Pseudonymizer {
  return {
    async call(request) {
      const answer = await next.call(request)
      checkValues(request, answer)
      checkEcho(request, answer)
      if (request.direction === 'pseudonymize') checkPseudonyms(request, answer)
      else checkIdentifiers(request, answer)
      return answer
    },
  }
}

function checkValues({ values }: PseudonymRequest, answer: PseudonymAnswer): void {
  if (!Array.isArray(answer.values)) throw bad('no list of values')
  if (answer.values.length !== values.length) {
    throw bad(`another length: asked for ${values.length} values, got ${answer.values.length}`)
  }
  for (let i = 0; i < values.length; i++) {
    const value: unknown = answer.values[i]
    if (typeof value !== 'string') throw bad(`${value === null ? 'null' : typeof value} for a value`, i)
  }
}

function checkEcho({ domain, key }: PseudonymRequest, answer: PseudonymAnswer): void {
  const echoRequired = domain !== DEFAULT_DOMAIN || key !== undefined
  if (answer.domain === undefined && echoRequired) throw bad('does not say which domain it used')
  if (answer.domain !== undefined && answer.domain !== domain) throw bad('made in another domain')
  if (echoRequired && !answer.keys?.length) throw bad('does not say which key it used')
  if (key !== undefined && answer.keys?.some((used) => used !== key)) throw bad('made with another key')
}

function checkPseudonyms(request: PseudonymRequest, answer: PseudonymAnswer): void {
  const { values: identifiers, deterministic } = request
  const { keys } = answer
  if (keys !== undefined && keys.length > 1) throw bad('names more than one key')
  const key = request.key ?? keys?.[0]
  // What has not the form of a pseudonym can be none: of nearly all identifiers their length says so.
  const sent = new Set(identifiers.filter((identifier) => pseudonymForm(identifier) !== undefined))
  let firstForm: string | undefined
  for (let i = 0; i < identifiers.length; i++) {
    const pseudonym = answer.values[i] as string
    if (sent.has(pseudonym) || pseudonym === identifiers[i])
      throw bad('an identifier of the request in place of a pseudonym', i)
    const form = pseudonymForm(pseudonym)
    if (form === undefined) throw bad('a text that has no known form of pseudonym', i)
    firstForm ??= form
    if (form !== firstForm) throw bad('pseudonyms of two forms', i)
    if (form === 'v2' && key !== undefined && keyOf(pseudonym) !== key) throw bad('made with another key', i)
  }
  // As many pseudonyms as identifiers, all different: nothing more to look for. Which is how it nearly always is.
  const distinct = new Set(answer.values).size
  // Who sends each value once can't have been told two pseudonyms for one.
  const eachOnce = !deterministic || request.once || new Set(identifiers).size === identifiers.length
  if (distinct === identifiers.length && eachOnce) return
  checkOneToOne(request, answer)
}

function checkOneToOne({ values: identifiers, deterministic }: PseudonymRequest, answer: PseudonymAnswer): void {
  const ownerOf = new Map<string, string>()
  const pseudonymOf = new Map<string, string>()
  for (let i = 0; i < identifiers.length; i++) {
    const identifier = identifiers[i] as string
    const pseudonym = answer.values[i] as string
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

function checkIdentifiers({ values: pseudonyms }: PseudonymRequest, answer: PseudonymAnswer): void {
  for (let i = 0; i < pseudonyms.length; i++) {
    if (answer.values[i] === pseudonyms[i]) throw bad('a pseudonym in place of its identifier', i)
  }
}

/** The key id in a v2 pseudonym, `p2.<kid>.…`. */
function keyOf(pseudonym: string): string {
  return pseudonym.slice(3, 7)
}

function bad(what: string, index?: number): PseudolakeError {
  return new PseudolakeError('service/bad-answer', `the service's answer cannot be right: ${what}`, {
    ...(index !== undefined && { index }),
  })
}
