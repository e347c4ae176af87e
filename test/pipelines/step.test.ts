import fc from 'fast-check'
import { expect, test } from 'vitest'
import { steps } from '../../pipelines/batch/step.ts'

const inputs = fc
  .array(fc.record({ bytes: fc.oneof(fc.nat(100), fc.nat(1_000_000)) }), { maxLength: 60 })
  .map((objects) => objects.map((object) => ({ object })))
const limits = fc.record({ maxFiles: fc.integer({ min: 1, max: 10 }), maxBytes: fc.integer({ min: 1, max: 500_000 }) })

const bytesOf = (step: readonly { readonly object: { readonly bytes: number } }[]) =>
  step.reduce((sum, { object }) => sum + object.bytes, 0)

test('every input is in one step, in the order of the inputs', () => {
  fc.assert(
    fc.property(inputs, limits, (items, limit) => {
      // The very objects: two inputs that look alike are two.
      const placed = [...steps(items, limit)].flat()
      expect(placed.length).toBe(items.length)
      expect(placed.every((item, i) => item === items[i])).toBe(true)
    }),
  )
})

test('no step is empty or over its limits, but for one input that alone is larger', () => {
  fc.assert(
    fc.property(inputs, limits, (items, limit) => {
      for (const step of steps(items, limit)) {
        expect(step.length).toBeGreaterThan(0)
        expect(step.length).toBeLessThanOrEqual(limit.maxFiles)
        expect(step.length === 1 || bytesOf(step) <= limit.maxBytes).toBe(true)
      }
    }),
  )
})

test('there are no more steps than the limits ask for: the next input would not have fitted', () => {
  fc.assert(
    fc.property(inputs, limits, (items, limit) => {
      const all = [...steps(items, limit)]
      for (const [i, step] of all.entries()) {
        const next = all[i + 1]?.[0]
        if (!next) continue
        expect(step.length === limit.maxFiles || bytesOf([...step, next]) > limit.maxBytes).toBe(true)
      }
    }),
  )
})

test('no inputs, no steps; the same inputs, the same steps', () => {
  expect([...steps([], { maxFiles: 1, maxBytes: 1 })]).toEqual([])
  fc.assert(
    fc.property(inputs, limits, (items, limit) => {
      expect([...steps(items, limit)]).toEqual([...steps(items, limit)])
    }),
  )
})
