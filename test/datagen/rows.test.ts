import { expect, test } from 'vitest'
import { type Distribution, emptyBatch, rowSource } from '../../datagen/rows.ts'
import { seeded } from '../../lib/core/random.ts'

function vins(distribution: Distribution, rows: number, distinct: number): number[] {
  const batch = emptyBatch(rows)
  rowSource({ seed: 7, rows, distinct, distribution })(batch, rows)
  return [...batch.vin]
}

test('seeds are told apart in all their bits', () => {
  const first = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 52].map((seed) => seeded(seed).u32())
  expect(new Set(first).size).toBe(6)
})

test('numbers below n are spread evenly and never reach it', () => {
  const random = seeded(3)
  const counts = Array(10).fill(0)
  for (let i = 0; i < 100_000; i++) counts[random.below(10)]++
  expect(counts).toHaveLength(10)
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
})

test('unique takes every number once, in no order, for any number of rows', () => {
  for (const rows of [1, 2, 3, 10, 97, 1000, 4096]) {
    const values = vins('unique', rows, 1)
    expect([...values].sort((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, i) => i))
    if (rows > 10) expect(values.slice(0, 5)).not.toEqual([0, 1, 2, 3, 4])
  }
})

test('zipf draws value k with a weight of 1 / (k + 1)', () => {
  const rows = 200_000
  const distinct = 1000
  const counts = Array(distinct).fill(0)
  for (const value of vins('zipf', rows, distinct)) counts[value]++
  const harmonic = Array.from({ length: distinct }, (_, k) => 1 / (k + 1)).reduce((a, b) => a + b)
  for (const k of [0, 1, 2, 9, 99]) {
    const expected = rows / (k + 1) / harmonic
    expect(Math.abs(counts[k] - expected)).toBeLessThan(5 * Math.sqrt(expected))
  }
  expect(counts).toHaveLength(distinct)
})

test('time advances, and half of the rows share that of the row before', () => {
  const batch = emptyBatch(10_000)
  rowSource({ seed: 1, rows: 10_000, distinct: 5, distribution: 'uniform' })(batch, 10_000)
  const steps = [...batch.ts].slice(1).map((time, i) => time - (batch.ts[i] as number))
  expect(Math.min(...steps)).toBe(0)
  expect(Math.max(...steps)).toBeLessThanOrEqual(10_000)
  expect(Math.abs(steps.filter((step) => step === 0).length - 5000)).toBeLessThan(250)
})
