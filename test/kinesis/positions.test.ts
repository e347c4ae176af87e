import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Shard, StreamDescription } from '../../lib/kinesis/kinesis.ts'
import { lostShards, prunedPositions, readableShards } from '../../lib/kinesis/lineage.ts'
import {
  advance,
  comparePositions,
  firstPositions,
  isTrimmed,
  type Position,
  type Positions,
  parsePositions,
  positionsDigest,
  positionsText,
} from '../../lib/kinesis/positions.ts'
import { compareSequences } from '../../lib/kinesis/records.ts'

const STREAM: StreamDescription = {
  name: 's',
  arn: 'arn:aws:kinesis:eu-west-1:000000000000:stream/s',
  createdMs: 1_700_000_000_123,
  status: 'ACTIVE',
  retentionMs: 86_400_000,
}
const LONG = '49590338271490256608559692538361571095921575989136588898'

const position: fc.Arbitrary<Position> = fc.oneof(
  fc.record({ sequence: fc.bigInt(1n, 10n ** 60n).map(String), sub: fc.nat(), since: fc.nat() }),
  fc.record({ at: fc.oneof(fc.constant('TRIM_HORIZON' as const), fc.nat()), since: fc.nat() }),
  fc.record({ end: fc.constant(true as const), since: fc.nat() }),
)
const positions: fc.Arbitrary<Positions> = fc
  .dictionary(fc.string({ minLength: 1, maxLength: 20 }), position)
  .map((shards) => ({
    stream: { arn: STREAM.arn, createdMs: STREAM.createdMs },
    shards: new Map(Object.entries(shards)),
  }))

const at = (sequence: string, sub = 0, since = 0): Position => ({ sequence, sub, since })

test('sequence numbers of any length are in the order of their numbers', () => {
  const sequence = fc.bigInt(0n, 10n ** 70n)
  fc.assert(
    fc.property(sequence, sequence, (a, b) => {
      expect(Math.sign(compareSequences(String(a), String(b)))).toBe(a < b ? -1 : a > b ? 1 : 0)
    }),
  )
  expect(compareSequences('9', '10')).toBeLessThan(0)
  expect(compareSequences(LONG, `${LONG.slice(0, -1)}9`)).toBeLessThan(0)
})

test('positions come back from their text, which is one whatever their order', () => {
  fc.assert(
    fc.property(positions, (all) => {
      expect(parsePositions(positionsText(all))).toEqual(all)
      const turned = { ...all, shards: new Map([...all.shards].reverse()) }
      expect(positionsText(turned)).toBe(positionsText(all))
      expect(positionsDigest(turned)).toBe(positionsDigest(all))
      expect(() => JSON.parse(positionsText(all))).not.toThrow()
    }),
  )
})

test('the text is this one: a table that was written by another version is read', () => {
  const all: Positions = {
    stream: { arn: STREAM.arn, createdMs: STREAM.createdMs },
    shards: new Map<string, Position>([
      ['shardId-000000000002', { at: 'TRIM_HORIZON', since: 3 }],
      ['shardId-000000000000', { end: true, since: 1 }],
      ['shardId-000000000001', at(LONG, 4, 2)],
      ['shardId-000000000003', { at: 1_700_000_000_000, since: 4 }],
    ]),
  }
  expect(positionsText(all)).toBe(
    `{"version":1,"stream":{"arn":"${STREAM.arn}","created":1700000000123},"shards":{"shardId-000000000000":{"end":true,"since":1},"shardId-000000000001":{"sequence":"${LONG}","sub":4,"since":2},"shardId-000000000002":{"at":"TRIM_HORIZON","since":3},"shardId-000000000003":{"at":1700000000000,"since":4}}}`,
  )
})

test.each([
  ['no JSON', '{"version":1'],
  ['no object', '[]'],
  ['a newer version', '{"version":2,"stream":{"arn":"a","created":1},"shards":{}}'],
  ['no stream', '{"version":1,"shards":{}}'],
  ['no time of creation', '{"version":1,"stream":{"arn":"a"},"shards":{}}'],
  ['no shards', '{"version":1,"stream":{"arn":"a","created":1}}'],
  ['a position of no kind', '{"version":1,"stream":{"arn":"a","created":1},"shards":{"s":{"since":1}}}'],
  ['a position without a time', '{"version":1,"stream":{"arn":"a","created":1},"shards":{"s":{"end":true}}}'],
  [
    'a number as a sequence',
    '{"version":1,"stream":{"arn":"a","created":1},"shards":{"s":{"sequence":12,"sub":0,"since":1}}}',
  ],
  [
    'a leading zero',
    '{"version":1,"stream":{"arn":"a","created":1},"shards":{"s":{"sequence":"012","sub":0,"since":1}}}',
  ],
])('what can’t be read is never taken for no positions: %s', (_, text) => {
  expect(() => parsePositions(text)).toThrow(expect.objectContaining({ code: 'table/mark-unreadable' }))
})

test('a position goes on and never back', () => {
  const first = { stream: STREAM, shards: new Map([['a', at('10', 3)]]) }
  expect(advance(first, 'a', at('10', 4)).shards.get('a')).toEqual(at('10', 4))
  expect(advance(first, 'b', { at: 1, since: 1 }).shards.size).toBe(2)
  expect(first.shards.size).toBe(1)
  for (const back of [at('9'), at('10', 2), { at: 'TRIM_HORIZON', since: 9 } as const])
    expect(() => advance(first, 'a', back)).toThrow(expect.objectContaining({ code: 'internal/bug' }))
  const order: Position[] = [
    { at: 'TRIM_HORIZON', since: 1 },
    { at: 5, since: 1 },
    at('9'),
    at('10'),
    at('10', 1),
    at('10', 1, 7),
    { end: true, since: 0 },
  ]
  for (const [i, a] of order.entries())
    for (const [j, b] of order.entries()) expect(Math.sign(comparePositions(a, b))).toBe(Math.sign(i - j))
})

test('a record is lost when the retention has passed since all before it was read, and not at a shard’s end', () => {
  expect(isTrimmed(at('1', 0, 1000), 500, 1500)).toBe(false)
  expect(isTrimmed(at('1', 0, 1000), 500, 1501)).toBe(true)
  expect(isTrimmed({ at: 'TRIM_HORIZON', since: 1000 }, 500, 1501)).toBe(true)
  expect(isTrimmed({ end: true, since: 0 }, 500, 1501)).toBe(false)
})

const shard = (id: string, parents: string[] = [], closed = false): Shard => ({
  id,
  parents,
  closed,
  hashKeys: { from: 0n, to: 1n },
})
const of = (shards: Record<string, Position>): Positions => ({
  stream: STREAM,
  shards: new Map(Object.entries(shards)),
})
const END = (since = 0): Position => ({ end: true, since })

test('a first start is of all shards there are, closed ones and children too, at one time', () => {
  const listed = [shard('a', [], true), shard('b', ['a'])]
  expect(firstPositions(STREAM, listed, 'LATEST', 77)).toEqual({
    stream: { arn: STREAM.arn, createdMs: STREAM.createdMs },
    shards: new Map([
      ['a', { at: 77, since: 77 }],
      ['b', { at: 77, since: 77 }],
    ]),
  })
  expect(firstPositions(STREAM, listed, 'TRIM_HORIZON', 77).shards.get('b')).toEqual({ at: 'TRIM_HORIZON', since: 77 })
  expect(firstPositions(STREAM, listed, { at: 5 }, 77).shards.get('b')).toEqual({ at: 5, since: 77 })
})

const readable = (listed: Shard[], positions: Positions) =>
  readableShards(listed, positions, 99).map(({ shard: { id }, from }) => [id, from])

test('a child waits for all of its parents, and begins at its oldest record', () => {
  const listed = [shard('a', [], true), shard('b', [], true), shard('c', ['a', 'b'])]
  expect(readable(listed, of({ a: at('1'), b: at('2') }))).toEqual([
    ['a', at('1')],
    ['b', at('2')],
  ])
  expect(readable(listed, of({ a: END(5), b: at('2') }))).toEqual([['b', at('2')]])
  expect(readable(listed, of({ a: END(5), b: END(3) }))).toEqual([['c', { at: 'TRIM_HORIZON', since: 3 }]])
  expect(readable(listed, of({ a: END(5), b: END(3), c: at('7') }))).toEqual([['c', at('7')]])
  expect(readable(listed, of({ a: END(5), b: END(3), c: END() }))).toEqual([])
})

test('a parent that is listed no more holds nobody up, unless it was never finished', () => {
  expect(readable([shard('c', ['gone'])], of({}))).toEqual([['c', { at: 'TRIM_HORIZON', since: 99 }]])
  expect(readable([shard('c', ['gone'])], of({ gone: at('1') }))).toEqual([])
  expect(lostShards([shard('c', ['gone'])], of({ gone: at('1'), done: END() }))).toEqual(['gone'])
})

test('a shard that appears without a parent is read from its oldest record', () => {
  expect(readable([shard('a')], of({}))).toEqual([['a', { at: 'TRIM_HORIZON', since: 99 }]])
})

test('a finished shard is remembered until its children are begun and the list has forgotten it', () => {
  const all = of({ a: END(), b: at('1') })
  expect(prunedPositions([shard('a', [], true), shard('b', ['a'])], all)).toBe(all)
  expect([...prunedPositions([shard('b', ['a'])], all).shards.keys()]).toEqual(['b'])
  // c has not been begun: without a it would be read at once, as a shard whose parents have expired.
  expect([...prunedPositions([shard('b', ['a']), shard('c', ['a'])], all).shards.keys()]).toEqual(['a', 'b'])
  expect([...prunedPositions([], of({ a: at('1') })).shards.keys()]).toEqual(['a'])
})
