import type { StreamGauges } from '../../pipelines/stream/report.ts'
import { count } from './text.ts'

/** How a stream stands, in a line. Pure. */
export function statusLine({ state, records, rows, commits, quarantined, lag, shards }: StreamGauges): string {
  const behind = Math.max(0, ...lag.values())
  // Who reads nothing, as at the start and in standby, does not know how far behind it is.
  const distance = behind === 0 ? 'caught up' : `${(behind / 1000).toFixed(1)} s behind`
  return [
    state,
    `${count(records)} records`,
    `${count(rows)} rows in ${count(commits)} commits`,
    ...(quarantined > 0 ? [`${count(quarantined)} quarantined`] : []),
    `${count(shards.reading)} shards`,
    ...(lag.size > 0 ? [distance] : []),
  ].join(', ')
}
