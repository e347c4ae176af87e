/**
 * Which shards may be read, and which need be remembered, from what is listed and what is committed. Pure.
 *
 * A reshard closes parents and opens children; a key's records are in the parent first and then in a child. So a child is read when all of its
 * parents have been read to their ends and that is committed: read before, its rows could be in the table before older ones of the same key,
 * and after a crash the parent's would come again behind them.
 */
import type { Shard } from './kinesis.ts'
import { isEnd, type Position, type Positions } from './positions.ts'

/** A shard that may be read, and from where. */
export interface Readable {
  readonly shard: Shard
  readonly from: Position
}

/**
 * The listed shards that are not finished and whose parents are: in the order of the list. A parent that is neither listed nor in the positions
 * has expired whole, long before anybody looked, and holds nobody up.
 * @param positions as committed
 * @param nowMs for a shard that is in no position yet and has no parent there either
 */
export function readableShards(listed: readonly Shard[], positions: Positions, nowMs: number): Readable[] {
  const there = new Set(listed.map(({ id }) => id))
  return listed.flatMap((shard): Readable[] => {
    const known = positions.shards.get(shard.id)
    if (isEnd(known)) return []
    const parents = shard.parents.map((id) => ({ id, position: positions.shards.get(id) }))
    // A shard that was begun is gone on with: the first start begins children of parents that it reads too, and these come first.
    const waits = parents.some(({ id, position }) => !isEnd(position) && (position !== undefined || there.has(id)))
    if (waits && !(known !== undefined && 'sequence' in known)) return []
    if (known !== undefined) return [{ shard, from: known }]
    // Nothing can have gone to the child before the last parent was closed, and so nothing before it was read to its end.
    const ends = parents.flatMap(({ position }) => (position === undefined ? [] : [position.since]))
    return [{ shard, from: { at: 'TRIM_HORIZON', since: ends.length > 0 ? Math.min(...ends) : nowMs } }]
  })
}

/** Shards that were not read to their ends and are listed no more: their records have expired unread. */
export function lostShards(listed: readonly Shard[], positions: Positions): string[] {
  const there = new Set(listed.map(({ id }) => id))
  return [...positions.shards].flatMap(([id, position]) => (isEnd(position) || there.has(id) ? [] : [id]))
}

/**
 * Positions without the finished shards that nobody needs: not listed any more, and no parent of a listed shard that has not been begun. One
 * that went earlier would be found again as new, and be read again.
 */
export function prunedPositions(listed: readonly Shard[], positions: Positions): Positions {
  const needed = new Set<string>()
  for (const { id, parents } of listed) {
    needed.add(id)
    if (!positions.shards.has(id)) for (const parent of parents) needed.add(parent)
  }
  const kept = [...positions.shards].filter(([id, position]) => !isEnd(position) || needed.has(id))
  return kept.length === positions.shards.size ? positions : { ...positions, shards: new Map(kept) }
}
