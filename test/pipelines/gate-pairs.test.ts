/** What the gate is spared: dictionaries whose pairs were looked at as they were made, and are those of dictionaries that it has read. */
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { Known } from '../../lib/parquet/gather.ts'
import { Tables } from '../../lib/parquet/tables.ts'
import type { ValueTable } from '../../lib/parquet/value-table.ts'
import { duckdb, fixture } from '../parquet/helpers.ts'
import { gated, overwritten, type Planted, pseudonym, withFooter } from './gate-planted.ts'

const VIN = { vin: {} }
const db = duckdb()

/** Four row groups, with the same forty values in another order each. */
const ROWS = `select 'VEHICLE' || ((i * 7 + i // 2048) % 40) as vin, 'dept' || (i % 5) as dept from range(8192) r(i)`

let input: Uint8Array
beforeAll(async () => {
  input = await db.copy(ROWS, 'compression snappy, row_group_size 2048')
})

/** The tables that are made while a test runs. */
function tables(): ValueTable[] {
  const made: ValueTable[] = []
  const { take } = Tables.prototype
  const spy = vi.spyOn(Tables.prototype, 'take').mockImplementation(function (this: Tables) {
    const table = take.call(this)
    made.push(table)
    return table
  })
  onTestFinished(() => spy.mockRestore())
  return made
}

type Run = Awaited<ReturnType<typeof gated>>
const handed = ({ report }: Run) => report.checks.find(({ name }) => name === 'handed_bytes')
const run = (planted: Planted = {}, inputs: Uint8Array | readonly Uint8Array[] = input) =>
  gated(inputs, VIN, { asRun: true, ...planted })

/** The text of a value, in the dictionary of one row group. */
const inGroup = (bytes: Buffer, text: string, group: number) => {
  let at = -1
  for (let i = 0; i <= group; i++) at = bytes.indexOf(text, at + 1)
  return at
}

test.each(['snappy', 'uncompressed', 'zstd', 'gzip'])(
  'of %s dictionaries that repeat pairs only headers are read, and everything else that is told of them is the same',
  async (codec) => {
    const bytes = await db.copy(ROWS, `compression ${codec}, row_group_size 2048`)
    const [told, untold] = [await run({}, bytes), await gated(bytes, VIN)]
    expect(told.failed).toEqual([])
    expect(handed(told)).toMatchObject({
      coverage: 'part',
      counts: { chunks_read_back: 1, repeated_dictionaries: 3, pieces: 1 },
    })
    expect(handed(untold)).toMatchObject({ coverage: 'all', counts: { chunks_read_back: 4 } })
    const others = ({ report }: Run) =>
      report.checks.map(({ name, counts, ...check }) =>
        // Ranges end where a dictionary does that is not read.
        name === 'byte_ranges' ? { name, ...check } : name === 'handed_bytes' ? { name } : { name, counts, ...check },
      )
    expect(others(told)).toEqual(others(untold))
  },
)

test('what one file has brought the next ones repeat, and what a late storage is given too', async () => {
  expect(handed(await run({}, [input, input, input]))?.counts).toMatchObject({
    chunks_read_back: 1,
    repeated_dictionaries: 11,
  })
  const late = await run({ late: true }, [input, input])
  expect(late.failed).toEqual([])
  expect(handed(late)?.counts).toMatchObject({ chunks_on_their_way: 8, repeated_dictionaries: 7 })
  expect(handed(late)?.counts.chunks_read_back).toBeUndefined()
})

test('a pseudonym that becomes another’s in a later row group fails', async () => {
  const made = tables()
  for (const late of [false, true]) {
    made.length = 0
    const { failed, code } = await run({
      late,
      onRowGroup(group) {
        if (group !== 1) return
        const [table] = made.filter(({ size }) => size > 0) as [ValueTable]
        table.set(3, pseudonym(Buffer.from(table.key(4)).toString()))
        table.set(4, pseudonym(Buffer.from(table.key(3)).toString()))
      },
    })
    expect(failed).toEqual(['one_to_one'])
    expect(code).toBe('gate/failed')
  }
})

test('an original that gets into a later row group fails', async () => {
  const made = tables()
  const { failed } = await run({
    onRowGroup(group) {
      const [table] = made.filter(({ size }) => size > 0) as [ValueTable]
      if (group === 1) table.set(3, Buffer.from(table.key(3)).toString())
    },
  })
  expect(failed).toContain('one_to_one')
})

test('a dictionary that was made of another row group’s fails', async () => {
  for (const late of [false, true]) {
    const { failed } = await run({
      late,
      mistaken: (known) => new Map([...known].map(([i, of]) => [i, i === 2 ? (known.get(1) as Known) : of])),
    })
    expect(failed).toEqual(['one_to_one'])
  }
})

test('numbers that are another value’s are found, though all pseudonyms are those of the numbers', async () => {
  const { failed } = await run({
    mistaken: (known) =>
      new Map(
        [...known].map(([i, of]) => {
          const slots = of.slots.slice()
          if (i === 2) [slots[5], slots[6]] = [slots[6] as number, slots[5] as number]
          return [i, { ...of, slots }]
        }),
      ),
  })
  expect(failed).toEqual(['one_to_one'])
})

test('what the storage has otherwise than it was made fails where it is sampled, and everywhere with gate.full', async () => {
  const [one, other] = [pseudonym('VEHICLE3'), pseudonym('VEHICLE4')]
  const spoiled = (group: number) => (bytes: Buffer) => overwritten(bytes, one, other, inGroup(bytes, one, group))
  const failed = async (group: number, full: boolean) =>
    (await run({ tamper: spoiled(group), options: { full } })).failed
  // The first is read; of those that repeat its pairs the first is sampled.
  expect(await failed(0, false)).toEqual(['one_to_one'])
  expect(await failed(1, false)).toEqual(['handed_bytes'])
  expect(await failed(3, false)).toEqual([])
  expect(await failed(3, true)).toEqual(['handed_bytes'])
  // On its way to a late storage the first was looked at too.
  const late = async (group: number, full: boolean) =>
    (await run({ late: true, spoil: spoiled(group), options: { full } })).failed
  for (const group of [0, 1]) expect(await late(group, false)).toEqual(['handed_bytes'])
  expect(await late(3, false)).toEqual([])
  expect(await late(3, true)).toEqual(['handed_bytes'])
})

test('a dictionary that was made of others than the gate knows of is read', async () => {
  const told = await run({ mistaken: (known) => new Map([...known].map(([i, of]) => [i, { ...of, id: -1 }])) })
  expect(told.failed).toEqual([])
  expect(handed(told)?.counts.repeated_dictionaries).toBeUndefined()
})

/** A file whose cells refer to the first half of eight entries, in a page that is made anew: there are positions behind its last one. */
async function unused(): Promise<Uint8Array> {
  const select = `select 'VEHICLE' || (i % 8) as vin from range(1000) r(i)`
  const bytes = Buffer.from(await db.copy(select, 'compression uncompressed'))
  const eight = Buffer.from('10325476', 'hex')
  let found = 0
  for (let at = bytes.indexOf(eight); at >= 0; at = bytes.indexOf(eight, at), found++) bytes.fill(0, at + 2, at + 4)
  expect(found).toBe(128)
  return bytes
}

test('entries that no cell refers to are looked at too: other dictionaries may repeat them', async () => {
  const used = await db.copy(`select 'VEHICLE' || (i % 8) as vin from range(2048) r(i)`, 'compression uncompressed')
  const files = [await unused(), used]
  const right = await run({}, files)
  expect(right.failed).toEqual([])
  expect(handed(right)?.counts).toMatchObject({ chunks_read_back: 1, repeated_dictionaries: 1 })
  const shared = (texts: readonly string[]) => texts.map((text) => pseudonym(text === 'VEHICLE6' ? 'VEHICLE5' : text))
  expect((await run({ replace: shared }, files)).failed).toEqual(['one_to_one'])
})

test('what a file was given that was given up is read again when it is made anew', async () => {
  const counts = { chunks_read_back: 1, repeated_dictionaries: 3 }
  const right = await run({ givenUp: true })
  expect([right.failed, handed(right)?.counts]).toMatchObject([[], counts])
  const original = (texts: readonly string[]) => texts.map((text) => (text === 'VEHICLE3' ? text : pseudonym(text)))
  expect((await run({ givenUp: true, replace: original })).failed).toEqual(['pseudonyms'])
  expect(handed(await run({ givenUp: true }, [input, input]))?.counts).toMatchObject({ chunks_read_back: 2 })
})

test('a codec in the footer that is not the dictionary’s fails', async () => {
  for (const codec of ['zstd', 'none'] as const) {
    const { failed } = await run({
      tamper: (bytes) =>
        withFooter(bytes, (groups) =>
          groups.map((group, i) => ({
            ...group,
            chunks: group.chunks.map((chunk) =>
              i === 2 && chunk.leaf.path[0] === 'vin' ? { ...chunk, codec } : chunk,
            ),
          })),
        ),
    })
    expect(failed).toContain('readable')
  }
})

test('of a chunk that has plain pages too these are read, or sampled as what is looked at on its way', async () => {
  const mixed = fixture('leak-v1-snappy.parquet')
  const files = [mixed, mixed]
  const told = (planted: Planted) => gated(files, { mail: {} }, { asRun: true, ...planted })
  expect((await told({})).failed).toEqual([])
  let file = 0
  // Of the second file's last page of plain values, which is no dictionary.
  const spoil = (bytes: Buffer) => {
    const at = bytes.lastIndexOf('p2.test.')
    const last = bytes.toString('latin1', at, at + pseudonym('').length)
    return file++ === 1 ? overwritten(bytes, last, pseudonym('another'), at) : bytes
  }
  expect((await told({ spoil })).failed).toEqual(['one_to_one'])
  file = 0
  expect((await told({ spoil, late: true, options: { full: true } })).failed).toEqual(['handed_bytes'])
})

test('pages in a codec that the output does without are made anew, and their dictionaries read or held once', async () => {
  for (const codec of ['brotli', 'lz4_raw']) {
    const bytes = await db.copy(ROWS, `compression ${codec}, row_group_size 2048`)
    expect(handed(await run({}, bytes))?.counts).toEqual({ chunks_read_back: 4 })
    expect(handed(await run({ late: true }, bytes))?.counts).toMatchObject({ chunks_on_their_way: 4, pieces: 1 })
  }
})
