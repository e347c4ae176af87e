import { expect, test } from 'vitest'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import { duckdb, fixture, pseudonym, REPLACE, run } from './helpers.ts'

const duck = duckdb()

/** A small generator of its own, so that a failure names the seed that makes it again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const INPUTS = [
  'leak-v1-snappy.parquet',
  'leak-v2-gzip.parquet',
  'leak-v1-lz4.parquet',
  'delta-v2.parquet',
  'delta-v1.parquet',
  'nested-v1.parquet',
  'types-dictionary.parquet',
  'encodings-v1-zstd.parquet',
  'encodings-v2-snappy.parquet',
  'spark-v2.parquet',
]

test.each(INPUTS)('broken bytes are an error with a code, or a file that is read: %s', async (name) => {
  const whole = fixture(name)
  const columns = name.startsWith('leak') || name.startsWith('delta') ? { vin: REPLACE, mail: REPLACE } : {}
  const nested = name.startsWith('nested') ? { 'tags.list.element': REPLACE, 'attrs.key_value.key': REPLACE } : columns
  let failed = 0
  for (let seed = 0; seed < 120; seed++) {
    const next = random(seed * 7919 + whole.length)
    const broken = whole.slice(0, seed % 5 === 0 ? 12 + next(whole.length - 12) : whole.length)
    const footer = Buffer.from(whole).readUInt32LE(whole.length - 8) + 8
    const from = seed % 2 === 0 ? Math.max(0, broken.length - footer) : 0
    for (let n = 1 + next(4); n > 0; n--) broken[from + next(broken.length - from)] = next(256)
    try {
      await run(broken, nested, { replace: async (_, texts) => texts.map(pseudonym) })
    } catch (error) {
      failed++
      if (!isPseudolakeError(error) || error.code === 'internal/bug')
        throw new Error(`${name}, seed ${seed}: ${String(error)}`, { cause: error })
      expect(error.message, `seed ${seed}`).not.toContain('plain-')
    }
  }
  expect(failed).toBeGreaterThan(30)
})

test('every header of a page that lies about its sizes is found out', async () => {
  const input = await duck.copy("SELECT 'plain-' || i AS vin FROM range(300) t(i)", 'COMPRESSION uncompressed')
  // The first page header follows the magic; each of its bytes in turn takes every kind of value.
  for (let at = 4; at < 40; at++)
    for (const value of [0x00, 0x7f, 0x80, 0xff]) {
      const broken = input.slice()
      broken[at] = value
      const failure = await run(broken, { vin: REPLACE }).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure !== undefined) expect(isPseudolakeError(failure), `byte ${at}: ${String(failure)}`).toBe(true)
    }
})
