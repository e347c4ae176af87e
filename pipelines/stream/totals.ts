/** What a run has done, over all times that it owned the stream. */
import type { Position, Positions } from '../../lib/kinesis/positions.ts'

export interface Counts {
  records: number
  rows: number
  quarantined: number
  /** Of the quarantined, those with a value that the service refuses. */
  refused: number
  duplicates: number
  commits: number
}

export function noCounts(): Counts {
  return { records: 0, rows: 0, quarantined: 0, refused: 0, duplicates: 0, commits: 0 }
}

export function add(to: Counts, more: Readonly<Counts>): void {
  for (const key of Object.keys(to) as (keyof Counts)[]) to[key] += more[key]
}

/** Before a consumer has looked at the stream. */
export const NO_SHARDS = { reading: 0, waiting: 0, ended: 0 } as const

/** Of the shards that are behind, the one that is furthest: its id and milliseconds. */
export function furthest(lag: ReadonlyMap<string, number>): [string, number] {
  let most: [string, number] = ['', 0]
  for (const [shard, ms] of lag) if (ms > most[1]) most = [shard, ms]
  return most
}

/** For people and scripts. */
export function shownPositions({ shards }: Positions): Record<string, string> {
  return Object.fromEntries([...shards].map(([id, position]) => [id, shownPosition(position)]))
}

function shownPosition(position: Position): string {
  if ('end' in position) return 'SHARD_END'
  if ('at' in position) return position.at === 'TRIM_HORIZON' ? position.at : new Date(position.at).toISOString()
  return position.sub === 0 ? position.sequence : `${position.sequence}.${position.sub}`
}
