/** The API key of a service, out of the environment or out of Secrets Manager. */
import { invalid, type Secrets } from '../lib/aws/secrets.ts'
import type { Renewable } from '../lib/client/transports/renewed.ts'

/** The field that the reference's deployment writes. */
const FIELD = 'api_key_value'

/**
 * Takes the secret as existing users have it: JSON `{"api_key_value": "…"}`, or the bare key.
 * @throws PseudolakeError (its methods) `secret/*`: for another form too, with what is wrong and nothing of the secret
 */
export function secretApiKey(name: string, secrets: Secrets): Renewable {
  return {
    get: async () => apiKeyIn(await secrets.get(name), name),
    renew: async () => apiKeyIn(await secrets.refresh(name), name),
  }
}

function apiKeyIn(text: string, name: string): string {
  const trimmed = text.trim()
  if (!trimmed.startsWith('{')) return checked(trimmed, name)
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = JSON.parse(trimmed)
  } catch {
    // Without the cause: the parser's message quotes the text.
    throw invalid(name, `it begins as JSON and is none (${trimmed.length} characters)`)
  }
  const key = fields[FIELD]
  if (typeof key === 'string') return checked(key.trim(), name)
  throw invalid(name, Object.hasOwn(fields, FIELD) ? `${FIELD} is no text` : `it is JSON without ${FIELD}`)
}

function checked(key: string, name: string): string {
  if (/^[\x21-\x7e]{1,8192}$/.test(key)) return key
  throw invalid(name, `expected a key of visible ASCII characters without blanks, got ${key.length} characters`)
}
