import type { DomainSummary } from '../../lib/crypto/keyring.ts'

/** A line for each key of a keyring. */
export function keyLines(domains: readonly DomainSummary[]): string[] {
  return domains.flatMap(({ domain, primary, keys }) =>
    keys.map(({ id, format, state }) => `${domain}  ${id}  ${format}  ${state}${id === primary ? '  primary' : ''}`),
  )
}
