import { expect, test } from 'vitest'
import { statusLine } from '../../cli/output/stream-status.ts'
import type { StreamGauges } from '../../pipelines/stream/report.ts'

const GAUGES = {
  state: 'owner',
  records: 1200,
  rows: 1000,
  commits: 2,
  quarantined: 0,
  lag: new Map([
    ['shardId-0', 0],
    ['shardId-1', 2500],
  ]),
  shards: { reading: 2, waiting: 0, ended: 0 },
} as unknown as StreamGauges

test('the status line says how far the furthest shard is behind', () => {
  expect(statusLine(GAUGES)).toBe('owner, 1,200 records, 1,000 rows in 2 commits, 2 shards, 2.5 s behind')
  expect(statusLine({ ...GAUGES, lag: new Map([['shardId-0', 0]]), quarantined: 3 })).toBe(
    'owner, 1,200 records, 1,000 rows in 2 commits, 3 quarantined, 2 shards, caught up',
  )
})

test.each(['starting', 'standby', 'retrying'] as const)(
  'a stream that is %s and reads nothing does not say that it has caught up',
  (state) => {
    expect(statusLine({ ...GAUGES, state, lag: new Map() })).not.toMatch(/caught up|behind/)
  },
)
