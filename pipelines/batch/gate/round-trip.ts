/** A sample of pseudonyms, turned back by the service. */
import type { Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import type { Tally } from './check.ts'
import type { Group } from './seen.ts'

/** @throws PseudolakeError `service/*` but for a service that does not allow it, which is no failure */
export async function roundTrip(
  groups: Iterable<Group>,
  client: Pseudonymizer,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  for (const { rule, key, samples } of groups) {
    const asked = samples.splice(0)
    if (asked.length === 0) continue
    try {
      const { values } = await client.call({
        direction: 'reidentify',
        values: asked.map(({ pseudonym }) => pseudonym),
        domain: rule.domain,
        deterministic: true,
        ...(key !== undefined && { key }),
        signal,
      })
      const wrong = asked.filter(({ value }, i) => values[i] !== value).length
      tally.looked({ pseudonyms: asked.length })
      if (wrong > 0)
        tally.fail(`domain ${rule.domain}`, [{ message: `${wrong} of ${asked.length} came back as other values` }])
    } catch (error) {
      if (!isPseudolakeError(error, 'service/denied', 'service/refused')) throw error
      tally.missed('the service does not allow this caller the way back')
    }
  }
}
