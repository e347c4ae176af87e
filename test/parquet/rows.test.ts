import { describe, expect, test } from 'vitest'
import { put, readStruct, type ThriftList, type ThriftStruct, writeStruct } from '../../lib/parquet/thrift.ts'
import { parquetFile } from '../helpers/parquet/file.ts'
import { Random } from '../helpers/parquet/random.ts'
import type { Spec, Tree } from '../helpers/parquet/schema.ts'
import { TYPES } from '../helpers/parquet/types.ts'
import { REPLACE, run } from './helpers.ts'

/** A file whose footer says of `rows` rows that they are `said`. */
function lying(dictionary: 0 | 1, rows: readonly (readonly string[])[], said: number): Uint8Array {
  const element: Spec = {
    name: 'element',
    repetition: 'optional',
    type: TYPES[0] as (typeof TYPES)[0],
    fate: 'deterministic',
  }
  const list: Spec = { name: 'list', repetition: 'repeated', children: [element] }
  const spec: Spec = { name: 'l', repetition: 'optional', children: [list], annotation: { 6: put.i32(3) } }
  const values = rows.map(
    (row) => ({ l: { list: row.map((text) => ({ element: Buffer.from(text) })) } }) as Record<string, Tree>,
  )
  const layout = { codec: 'none', version: 1, dictionary } as const
  const bytes = parquetFile([spec], [values], new Random(4), { layout })
  const length = Buffer.from(bytes).readUInt32LE(bytes.length - 8)
  const footer = readStruct(bytes.subarray(bytes.length - 8 - length)).value
  const groups = footer.get(4)?.value as ThriftList
  const [group] = groups.items as ThriftStruct[]
  const changed = new Map(footer).set(3, put.i64(said)).set(4, put.structs([new Map(group).set(3, put.i64(said))]))
  const written = writeStruct(changed)
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(written.length)
  tail.write('PAR1', 4)
  return Buffer.concat([bytes.subarray(0, bytes.length - 8 - length), written, tail])
}

const ROWS = Array.from({ length: 30 }, (_, i) => [`plain-${i % 3}`, 'plain-x'])

describe.each([
  ['in a dictionary', 1],
  ['without one', 0],
] as const)('a list whose levels have another number of rows than its row group is corrupt: %s', (_, dictionary) => {
  test.each([29, 31])('%i', async (said) => {
    await expect(run(lying(dictionary, ROWS, said), { 'l.list.element': REPLACE })).rejects.toMatchObject({
      code: 'input/corrupt',
      context: { column: 'l.list.element', rowGroup: 0 },
    })
  })
})
