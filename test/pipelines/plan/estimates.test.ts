import { expect, test } from 'vitest'
import { Distinct } from '../../../pipelines/batch/plan/distinct.ts'
import { HyperLogLog, SKETCH_ERROR } from '../../../pipelines/batch/plan/hyperloglog.ts'
import { costOf, type Load, readPrices, shippedPrices, timeOf } from '../../../pipelines/batch/plan/prices.ts'
import { pseudonymBytes } from '../../../pipelines/batch/plan/sizes.ts'

test.each([0, 1, 100, 5000, 40_000, 300_000])('a sketch counts %i different texts within its error', (n) => {
  const sketch = new HyperLogLog()
  for (let round = 0; round < 2; round++)
    for (let i = 0; i < n; i++) sketch.add(`WVWZZZ1JZ${String(i).padStart(8, '0')}`)
  expect(Math.abs(sketch.count() - n)).toBeLessThanOrEqual(SKETCH_ERROR * n)
})

test.each(['', 'x', 'ü', 'a long prefix that all texts have in common, as paths do: '])(
  'texts behind %j are told apart by their last character alone',
  (prefix) => {
    const sketch = new HyperLogLog()
    for (let i = 0; i < 20_000; i++) sketch.add(prefix + String.fromCharCode(0x4e00 + i))
    expect(Math.abs(sketch.count() - 20_000)).toBeLessThanOrEqual(SKETCH_ERROR * 20_000)
  },
)

test('distinct values are counted exactly while they fit, are estimated from then on, and say which', () => {
  const values = new Distinct(100_000)
  for (let i = 0; i < 1000; i++) values.add(`v${i % 500}`)
  expect(values.estimate()).toEqual({ values: 500, at_most: 500, quality: 'exact' })
  for (let i = 0; i < 20_000; i++) values.add(`v${i}`)
  const { values: about, at_most: most, quality } = values.estimate()
  expect(quality).toBe('estimated')
  expect(about).toBeGreaterThan(19_500)
  expect(about).toBeLessThan(20_500)
  expect(most).toBeGreaterThanOrEqual(20_000)
})

test('cells that nobody looked at make an upper bound', () => {
  const values = new Distinct(1000)
  values.add('a')
  values.unseen(40)
  expect(values.estimate()).toEqual({ values: 1, at_most: 41, quality: 'at-most' })
})

test('a pseudonym’s size is that of its form', () => {
  // 17 characters: nonce and tag make it 45 bytes.
  expect(pseudonymBytes(17, 'original')).toBe(60)
  expect(pseudonymBytes(17, 'v2')).toBe(68)
})

const LOAD: Load = {
  files: 10,
  copiedBytes: 0,
  values: 0,
  swappedCells: 0,
  transcodedCells: 0,
  identifiers: 900_000,
  requests: 1000,
  bytesOut: 2e9,
  dataFiles: 10,
  remote: true,
  concurrency: 10,
  objectStore: true,
}

test('costs are quantities times prices, and what is paid by the month is not in the total', () => {
  const prices = {
    ...shippedPrices(),
    prices: {
      gateway_per_million_requests: 1e6,
      function_per_million_requests: 2e6,
      function_per_gb_second: 3,
      vcpu_per_hour: 3600,
      storage_per_gb_month: 5,
      storage_per_1000_writes: 0,
      storage_per_1000_reads: 0,
    },
    rates: { ...shippedPrices().rates, service_seconds_per_request: 0.5, function_gb: 2 },
  }
  const { items, total } = costOf(LOAD, 7, prices)
  expect(Object.fromEntries(items.map(({ name, amount }) => [name, amount]))).toEqual({
    'gateway requests': 1000,
    'function requests': 2000,
    'function time': 3000,
    computing: 7,
    'storage writes': 0,
    'storage reads': 0,
    storage: 10,
  })
  expect(total).toBe(6007)
})

test('a keyring in the process costs no requests, and a service elsewhere costs waiting', () => {
  const prices = shippedPrices()
  const { items } = costOf({ ...LOAD, remote: false, objectStore: false }, 1, prices)
  expect(items.map(({ name }) => name)).toEqual(['computing'])
  expect(timeOf(LOAD, prices).seconds).toBeGreaterThan(timeOf(LOAD, prices).cpu)
  const near = timeOf({ ...LOAD, remote: false }, prices)
  expect(near.seconds).toBe(near.cpu)
})

test.each([
  ['{', 'is not JSON'],
  ['[]', 'version'],
  [{ date: 'yesterday' }, 'date'],
  [{ currency: 'dollars' }, 'currency'],
  [{ prices: {} }, 'prices.gateway_per_million_requests'],
  [{ prices: { ...shippedPrices().prices, vcpu_per_hour: -1 } }, 'prices.vcpu_per_hour'],
  [{ rates: { ...shippedPrices().rates, files_per_second: 0 } }, 'rates.files_per_second'],
])('a price file that is not one is refused with the key at fault: %j', (change, said) => {
  const text = typeof change === 'string' ? change : JSON.stringify({ version: 1, ...shippedPrices(), ...change })
  expect(() => readPrices(text, 'p.json')).toThrow(said)
})

test('a price file of the user’s own is read', () => {
  const own = { version: 1, ...shippedPrices(), currency: 'EUR' }
  expect(readPrices(JSON.stringify(own), 'p.json')).toMatchObject({ currency: 'EUR' })
})
