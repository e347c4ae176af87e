/** Files of many columns and row groups, one cell a chunk: what is large about them is the footer. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { put, struct, T, type ThriftField, type ThriftStruct, writeStruct } from '../../../lib/parquet/thrift.ts'
import { varint } from './encoders.ts'

export interface WideFile {
  readonly bytes: number
  readonly footerBytes: number
}

/** A list of structures as they are written one by one: a footer of 50 MB is never held as a tree. */
function list(items: Iterable<Uint8Array>, count: number): Uint8Array {
  return Buffer.concat([
    Uint8Array.from(count < 15 ? [(count << 4) | T.STRUCT] : [0xf0 | T.STRUCT, ...varint(count)]),
    ...items,
  ])
}

/** Fields of a structure whose lists are bytes already; ids must ascend. */
function fields(of: readonly (readonly [id: number, field: ThriftField | Uint8Array])[]): Uint8Array {
  let last = 0
  const parts = of.map(([id, field]) => {
    if (field instanceof Uint8Array) {
      const head = Uint8Array.of(((id - last) << 4) | T.LIST)
      last = id
      return Buffer.concat([head, field])
    }
    const whole = writeStruct(struct({ [id - last]: field }))
    last = id
    return whole.subarray(0, -1)
  })
  return Buffer.concat([...parts, Uint8Array.of(0)])
}

/** Every fourth column, from `c1`, is an integer, the others are texts. @param statistics bytes of a text’s bounds */
export function wideFile(path: string, columns: number, rowGroups: number, statistics: number): WideFile {
  const file = openSync(path, 'w')
  const bound = Buffer.alloc(statistics, 'b')
  const seven = Uint8Array.of(7, 0, 0, 0)
  const page = (body: Uint8Array) => {
    const data = put.struct({ 1: put.i32(1), 2: put.i32(0), 3: put.i32(3), 4: put.i32(3) })
    const head = writeStruct(struct({ 1: put.i32(0), 2: put.i32(body.length), 3: put.i32(body.length), 5: data }))
    return Buffer.concat([head, body])
  }
  const [number, text] = [page(Uint8Array.of(7, 0, 0, 0)), page(Buffer.from('\x07\0\0\0plain-7', 'latin1'))]
  let at = writeSync(file, 'PAR1')
  const names = Array.from({ length: columns }, (_, i) => `c${i}`)
  const groups: Uint8Array[] = []
  for (let g = 0; g < rowGroups; g++) {
    const chunks: Uint8Array[] = []
    const bytes = names.map((_, i) => (i % 4 === 1 ? number : text))
    for (const [i, name] of names.entries()) {
      const body = bytes[i] as Uint8Array
      const meta: ThriftStruct = struct({
        1: put.i32(i % 4 === 1 ? 1 : 6),
        2: put.i32s([0, 3]),
        3: put.texts([name]),
        4: put.i32(0),
        5: put.i64(1),
        6: put.i64(body.length),
        7: put.i64(body.length),
        9: put.i64(at),
        12: put.struct({
          3: put.i64(0),
          5: put.bytes(i % 4 === 1 ? seven : bound),
          6: put.bytes(i % 4 === 1 ? seven : bound),
        }),
        13: put.structs([struct({ 1: put.i32(0), 2: put.i32(0), 3: put.i32(1) })]),
      })
      chunks.push(Uint8Array.from(writeStruct(struct({ 2: put.i64(at), 3: { type: T.STRUCT, value: meta } }))))
      at += body.length
    }
    writeSync(file, Buffer.concat(bytes))
    groups.push(
      fields([
        [1, list(chunks, columns)],
        [2, put.i64(columns * 30)],
        [3, put.i64(1)],
      ]),
    )
  }
  const schema = [
    struct({ 4: put.text('schema'), 5: put.i32(columns) }),
    ...names.map((name, i) =>
      struct({
        1: put.i32(i % 4 === 1 ? 1 : 6),
        3: put.i32(0),
        4: put.text(name),
        6: i % 4 === 1 ? undefined : put.i32(0),
      }),
    ),
  ].map((element) => Uint8Array.from(writeStruct(element)))
  const orders = Array.from({ length: columns }, () => writeStruct(struct({ 1: put.struct({}) })))
  const footer = fields([
    [1, put.i32(1)],
    [2, list(schema, columns + 1)],
    [3, put.i64(rowGroups)],
    [4, list(groups, rowGroups)],
    [6, put.text('wide-writer')],
    [7, list(orders, columns)],
  ])
  writeSync(file, footer)
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(footer.length)
  tail.write('PAR1', 4)
  writeSync(file, tail)
  closeSync(file)
  return { bytes: at + footer.length + 8, footerBytes: footer.length }
}
