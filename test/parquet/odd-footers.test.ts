import { expect, test } from 'vitest'
import {
  put,
  readStruct,
  struct,
  T,
  type ThriftField,
  type ThriftList,
  type ThriftStruct,
  writeStruct,
} from '../../lib/parquet/thrift.ts'
import { DROP, duckdb, fixture, mapStrings, opened, pseudonym, REPLACE, run } from './helpers.ts'

const duck = duckdb()

/** The file with its footer changed. */
function edited(bytes: Uint8Array, change: (footer: Map<number, ThriftField>) => void): Uint8Array {
  const length = Buffer.from(bytes).readUInt32LE(bytes.length - 8)
  const start = bytes.length - 8 - length
  const footer = new Map(readStruct(bytes.subarray(start)).value)
  change(footer)
  const changed = writeStruct(footer)
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(changed.length)
  tail.write('PAR1', 4)
  return Buffer.concat([bytes.subarray(0, start), changed, tail])
}

function items(field: ThriftField | undefined): ThriftStruct[] {
  const list = (field as ThriftField).value as ThriftList
  return [...(list.items as ThriftStruct[])]
}

/** Changes the metadata of every chunk of column `index`. */
function chunks(index: number, change: (meta: Map<number, ThriftField>) => void) {
  return (footer: Map<number, ThriftField>): void => {
    const groups = items(footer.get(4)).map((group) => {
      const columns = items(group.get(1))
      const chunk = new Map(columns[index])
      const meta = new Map(chunk.get(3)?.value as ThriftStruct)
      change(meta)
      chunk.set(3, { type: T.STRUCT, value: meta })
      columns[index] = chunk
      return new Map(group).set(1, put.structs(columns))
    })
    footer.set(4, put.structs(groups))
  }
}

const [VIN, MAIL] = [1, 2]

test('a dictionary that only the first page tells of is found, as old writers left it', async () => {
  const input = edited(
    fixture('leak-v1-snappy.parquet'),
    chunks(VIN, (meta) => {
      meta.set(9, meta.get(11) as ThriftField)
      meta.delete(11)
      meta.delete(13)
    }),
  )
  const { bytes, plan } = await run(input, { vin: REPLACE })
  expect(plan.rowGroups[0]?.chunks[VIN]?.action).toBe('swap-dictionary')
  const expected = (await duck.rows(input)).map((row) => ({ ...row, vin: mapStrings(row.vin, pseudonym) }))
  expect(await duck.rows(bytes)).toEqual(expected)
  // Copied, the chunk keeps saying what it said.
  expect(await duck.rows((await run(input, {})).bytes)).toEqual(await duck.rows(input))
})

test('a column that claims another one’s bytes is refused, so that none is copied by mistake', async () => {
  let protectedStart: ThriftField | undefined
  const input = edited(fixture('leak-v1-none.parquet'), (footer) => {
    chunks(MAIL, (meta) => {
      protectedStart ??= meta.get(9)
    })(footer)
    chunks(3, (meta) => {
      meta.set(9, protectedStart as ThriftField)
      meta.delete(11)
    })(footer)
  })
  await expect(run(input, { mail: REPLACE })).rejects.toMatchObject({
    code: 'input/corrupt',
    message: expect.stringContaining('overlap'),
  })
})

test('bounds without an order of the columns are not passed on', async () => {
  const { bytes, written } = await run(
    edited(fixture('leak-v1-none.parquet'), (footer) => footer.delete(7)),
    { vin: DROP, mail: DROP },
  )
  const [id] = await duck.query(
    `SELECT stats_min_value AS lo, stats_null_count AS n FROM parquet_metadata('${duck.put(bytes)}')`,
  )
  expect(id).toEqual({ lo: null, n: '0' })
  expect(written.columns[0]).not.toHaveProperty('min')
})

test('bounds that no value of the column’s type could be are not passed on', async () => {
  const input = edited(
    fixture('leak-v1-none.parquet'),
    chunks(0, (meta) => {
      const statistics = new Map(meta.get(12)?.value as ThriftStruct).set(5, put.text('no integer'))
      meta.set(12, { type: T.STRUCT, value: statistics })
    }),
  )
  const { bytes } = await run(input, { vin: DROP, mail: DROP })
  expect(Buffer.from(bytes).includes('no integer')).toBe(false)
  expect(await duck.rows(bytes, 'count(id) AS n')).toEqual([{ n: '2000' }])
})

test('counts of pages that the format does not have are not passed on', async () => {
  const stats = put.structs([struct({ 1: put.i32(99), 2: put.i32(0), 3: put.i32(1) })])
  const { bytes } = await run(
    edited(
      fixture('leak-v1-none.parquet'),
      chunks(0, (meta) => meta.set(13, stats)),
    ),
    { vin: REPLACE },
  )
  expect(await duck.rows(bytes, 'count(id) AS n')).toEqual([{ n: '2000' }])
})

test('fields that no version of the format knows are read over, and never passed on', async () => {
  const secret = put.text('plain-secret')
  const input = edited(fixture('leak-v1-none.parquet'), (footer) => {
    footer.set(200, put.struct({ 1: secret }))
    footer.set(2, put.structs(items(footer.get(2)).map((element) => new Map(element).set(99, secret))))
    chunks(0, (meta) => {
      meta.set(77, secret)
      meta.set(8, put.structs([struct({ 1: put.text('key'), 2: secret })]))
    })(footer)
  })
  expect(Buffer.from(input).includes('plain-secret')).toBe(true)
  const { bytes } = await run(input, { vin: REPLACE, mail: REPLACE })
  expect(Buffer.from(bytes).includes('plain-')).toBe(false)
  expect(await duck.rows(bytes)).toHaveLength(2000)
})

test('two columns of one name are refused, because no path could tell them apart', async () => {
  const input = edited(fixture('leak-v1-none.parquet'), (footer) => {
    const elements = items(footer.get(2))
    elements[2] = new Map(elements[2]).set(4, put.text('id'))
    footer.set(2, put.structs(elements))
  })
  await expect(opened(input)).rejects.toMatchObject({ code: 'input/unsupported', context: { column: 'id' } })
})

test.each([
  ['rows of the file', (footer: Map<number, ThriftField>) => footer.set(3, put.i64(1999))],
  ['values of a column', chunks(0, (meta) => meta.set(5, put.i64(3)))],
  ['a type that is not the schema’s', chunks(0, (meta) => meta.set(1, put.i32(1)))],
  ['bytes behind the end', chunks(0, (meta) => meta.set(7, put.i64(1e9)))],
  ['a negative offset', chunks(0, (meta) => meta.set(9, put.i64(-4)))],
  ['a path of another column', chunks(0, (meta) => meta.set(3, put.texts(['vin'])))],
])('a footer that contradicts itself is corrupt: %s', async (_, change) => {
  await expect(
    opened(edited(fixture('leak-v1-none.parquet'), change as (footer: Map<number, ThriftField>) => void)),
  ).rejects.toMatchObject({ code: 'input/corrupt' })
})

test('fewer pages than the footer says are corrupt, not a shorter column', async () => {
  const input = edited(
    fixture('delta-v2.parquet'),
    chunks(MAIL, (meta) => {
      const bytes = Number(meta.get(7)?.value)
      meta.set(7, put.i64(Math.floor(bytes / 2)))
    }),
  )
  await expect(run(input, { mail: REPLACE })).rejects.toMatchObject({
    code: 'input/corrupt',
    context: { column: 'mail', rowGroup: 0 },
  })
})

test('a constant spans more rows than a page has', async () => {
  const input = await duck.copy('SELECT 1::TINYINT AS n FROM range(2500000)', 'ROW_GROUP_SIZE 2500000')
  const constants = [
    { name: 'day', value: 'x', replaced: false },
    { name: 'none', value: null, replaced: false },
  ]
  const { bytes } = await run(input, {}, { constants })
  expect(bytes.length).toBeLessThan(2000)
  expect(await duck.rows(bytes, 'min(day) AS a, max(day) AS b, count(day) AS c, count(none) AS d')).toEqual([
    { a: 'x', b: 'x', c: '2500000', d: '0' },
  ])
})
