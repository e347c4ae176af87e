/**
 * What a pseudonym looks like, for those who hold no key: the client refuses an answer that has none of these forms, and a gate
 * looks for them in written files. Only canonical spellings count; whether a key made it, only the service can tell.
 */

/** Nonce and tag, over the empty identifier. */
const MIN_BYTES = 28

/** The form of `text`, or undefined where it is no pseudonym. */
export function pseudonymForm(text: string): 'original' | 'v2' | undefined {
  if (V2.test(text)) return isCanonical(text.slice(V2_PREFIX_LENGTH)) ? 'v2' : undefined
  if (text.length % 4 !== 0 || !PADDED.test(text)) return undefined
  return isCanonical(text.slice(0, text.endsWith('==') ? -2 : text.endsWith('=') ? -1 : undefined))
    ? 'original'
    : undefined
}

export function isPseudonymForm(text: string): boolean {
  return pseudonymForm(text) !== undefined
}

const V2 = /^p2\.[a-z0-9]{4}\.[A-Za-z0-9_-]+$/
const V2_PREFIX_LENGTH = 'p2.kkkk.'.length
const PADDED = /^[A-Za-z0-9+/]+={0,2}$/

/** Whether base64 digits, without padding, are the one spelling of at least {@link MIN_BYTES} bytes: unused bits are zero. */
function isCanonical(digits: string): boolean {
  const spare = digits.length % 4
  if (spare === 1 || Math.floor((digits.length * 3) / 4) < MIN_BYTES) return false
  const last = digits.at(-1) ?? ''
  if (spare === 2) return 'AQgw'.includes(last)
  if (spare === 3) return 'AEIMQUYcgkosw048'.includes(last)
  return true
}
