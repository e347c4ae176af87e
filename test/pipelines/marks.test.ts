import { expect, test } from 'vitest'
import { checkAncestry, type MarkedSnapshot, makeMark } from '../../pipelines/marks.ts'

const ledger = { location: '/ledger', sha256: '0'.repeat(64) }
const mark = makeMark(3, 'run', ledger)

/** A snapshot of the job's. */
function ours(id: number, parent: number | undefined, { epoch, digest } = mark): MarkedSnapshot {
  return {
    id,
    parent,
    summary: { 'pseudolake.job': 'job', 'pseudolake.epoch': String(epoch), 'pseudolake.digest': digest },
  }
}

const theirs = (id: number, parent: number | undefined): MarkedSnapshot => ({ id, parent, summary: {} })
const before = makeMark(2, 'earlier run', ledger)
const check = (snapshots: readonly MarkedSnapshot[], current: number) => checkAncestry(mark, 'job', snapshots, current)

test('a mark is found behind whatever others did since', () => {
  expect(check([ours(1, undefined)], 1)).toBe('found')
  expect(check([ours(1, undefined, before), ours(2, 1), theirs(3, 2), theirs(4, 3)], 4)).toBe('found')
})

test('where expiry cut the chain the mark is enough', () => {
  expect(check([theirs(4, 3)], 4)).toBe('expired')
})

test.each([
  ['to an older epoch', [ours(1, undefined, before), ours(2, 1)], 1],
  ['to the beginning', [theirs(1, undefined), ours(2, 1)], 1],
  // Its parent was expired, as it might have been anyway; that the job's snapshot is there and is no ancestor tells.
  ['to a snapshot whose parent was expired', [theirs(4, 3), ours(5, 4)], 4],
  ['to another run’s snapshot of the same epoch', [ours(1, undefined, makeMark(3, 'another run', ledger))], 1],
])('a table that was rolled back %s is told', (_, snapshots, current) => {
  expect(() => check(snapshots, current)).toThrow(/rolled back/)
})
