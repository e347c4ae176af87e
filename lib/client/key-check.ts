import { createHash } from 'node:crypto'
import { pseudonymForm } from '../wire/forms.ts'
import type { Pseudonymizer } from './pseudonymizer.ts'

/** Its deterministic pseudonym says which key a service uses, whatever the service is (docs/tables.md, column pins). */
export const KEY_CHECK = 'pseudolake key check'

export interface KeyCheck {
  /** First 16 hex digits of SHA-256 over the constant's pseudonym: what a table remembers. */
  readonly fingerprint: string
  readonly format: 'original' | 'v2'
  /** Echoes of the service; missing where it sends none. */
  readonly domain?: string
  readonly key?: string
}

/**
 * Asks the service, past every cache, what it makes of {@link KEY_CHECK}. Two services or two days with the same fingerprint give
 * the same pseudonyms, so joins hold; the first request of every run.
 *
 * @param key pins a key version; the domain's primary where it is missing
 * @throws PseudolakeError as `Pseudonymizer.call`
 */
export async function keyCheck(
  client: Pseudonymizer,
  domain: string,
  key?: string,
  signal?: AbortSignal,
): Promise<KeyCheck> {
  const answer = await client.call({
    direction: 'pseudonymize',
    values: [KEY_CHECK],
    domain,
    deterministic: true,
    fresh: true,
    ...(key !== undefined && { key }),
    ...(signal !== undefined && { signal }),
  })
  const pseudonym = answer.values[0] as string
  const echoed = answer.keys?.[0]
  return {
    fingerprint: createHash('sha256').update(pseudonym).digest('hex').slice(0, 16),
    format: pseudonymForm(pseudonym) ?? 'original',
    ...(answer.domain !== undefined && { domain: answer.domain }),
    ...(echoed !== undefined && { key: echoed }),
  }
}
