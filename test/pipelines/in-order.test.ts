import { expect, test } from 'vitest'
import { inOrder } from '../../pipelines/batch/in-order.ts'
import { StepProgress } from '../../pipelines/batch/step-progress.ts'

const turns = (n: number) => new Promise<void>((resolve) => setTimeout(resolve, n))

test('results are in the items’ order, and no more is under way than may be', async () => {
  let underWay = 0
  let most = 0
  const results = await inOrder([5, 1, 3, 2, 4, 0], 3, async (item) => {
    most = Math.max(most, ++underWay)
    await turns(item)
    underWay--
    return item * 10
  })
  expect(results).toEqual([50, 10, 30, 20, 40, 0])
  expect(most).toBe(3)
})

test('after a failure nothing more begins, what is under way is told and waited for, and the first failure is thrown', async () => {
  const begun: number[] = []
  const ended: number[] = []
  let stopped = 0
  const work = inOrder(
    [0, 1, 2, 3, 4],
    2,
    async (item) => {
      begun.push(item)
      await turns(item === 1 ? 1 : 10)
      if (item === 1) throw new Error('the second')
      ended.push(item)
      if (item === 0) throw new Error('the first')
    },
    () => stopped++,
  )
  await expect(work).rejects.toThrow('the second')
  expect({ begun, ended, stopped }).toEqual({ begun: [0, 1], ended: [0], stopped: 1 })
})

test('progress is that of files that are done and of those under way', () => {
  const progress = new StepProgress()
  progress.update(0, { rows: 5, bytes: 50 })
  progress.update(1, { rows: 1, bytes: 10 })
  progress.update(0, { rows: 7, bytes: 70 })
  expect(progress.all).toEqual({ rows: 8, bytes: 80, files: 0 })
  progress.end(0, { rows: 9, bytes: 99 })
  expect(progress.all).toEqual({ rows: 10, bytes: 109, files: 1 })
})
