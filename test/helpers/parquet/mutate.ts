/**
 * Breaks files where it hurts: fields of footers and page headers by their meaning, lengths, counts, offsets, runs of levels, and, as
 * ever, single bytes. A checksum in the header of a page that was changed is made to match, or no change would ever reach a decoder.
 */
import { crc32 } from 'node:zlib'
import {
  put,
  readStruct,
  T,
  type ThriftField,
  type ThriftList,
  type ThriftStruct,
  type ThriftValue,
  writeStruct,
} from '../../../lib/parquet/thrift.ts'
import type { Random } from './random.ts'

/** What numbers of a header become: the edges of their ranges, and what is off by little. */
const EDGES = [0, 1, 2, 3, 5, 7, 8, 9, 127, 128, 255, 256, 65_535, 1 << 20, 2 ** 31 - 1, -1, -2, -(2 ** 31)]

interface Found {
  readonly at: number
  readonly headBytes: number
  readonly header: ThriftStruct
  readonly bodyBytes: number
}

/** Many changes are made to one file, and reading it takes longer than breaking it. */
const known = new WeakMap<Uint8Array, { start: number; footer: ThriftStruct; pages: Found[] }>()

function structureOf(bytes: Uint8Array): { start: number; footer: ThriftStruct; pages: Found[] } {
  const found = known.get(bytes)
  if (found) return found
  const made = { ...footerOf(bytes), pages: pagesOf(bytes) }
  known.set(bytes, made)
  return made
}

function footerOf(bytes: Uint8Array): { start: number; footer: ThriftStruct } {
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32LE(bytes.length - 8)
  const start = bytes.length - 8 - length
  return { start, footer: readStruct(bytes.subarray(start)).value }
}

const items = (field: ThriftField | undefined) =>
  ((field?.value as ThriftList | undefined)?.items ?? []) as readonly ThriftStruct[]

/** Headers of all pages, by the footer. */
export function pagesOf(bytes: Uint8Array): Found[] {
  const found: Found[] = []
  for (const group of items(footerOf(bytes).footer.get(4)))
    for (const chunk of items(group.get(1))) {
      const meta = chunk.get(3)?.value as ThriftStruct
      const data = Number(meta.get(9)?.value)
      const dictionary = Number(meta.get(11)?.value ?? 0)
      let at = dictionary > 0 && dictionary < data ? dictionary : data
      const end = at + Number(meta.get(7)?.value)
      while (at < end) {
        const { value: header, end: bodyAt } = readStruct(bytes, at)
        const bodyBytes = Number(header.get(3)?.value)
        found.push({ at, headBytes: bodyAt - at, header, bodyBytes })
        at = bodyAt + bodyBytes
      }
    }
  return found
}

/** One number, text or list somewhere in the structure is another. */
function changed(value: ThriftStruct, random: Random): ThriftStruct {
  const copy = new Map(value)
  const ids = [...copy.keys()]
  if (ids.length === 0) return copy
  const id = random.pick(ids)
  const field = copy.get(id) as ThriftField
  if (random.once(14)) copy.delete(id)
  else if (random.once(20)) copy.set(random.between(1, 20), field)
  else copy.set(id, { type: field.type, value: other(field.type, field.value, random) })
  return new Map([...copy].sort(([a], [b]) => a - b))
}

function other(type: number, value: ThriftValue, random: Random): ThriftValue {
  switch (type) {
    case T.TRUE:
    case T.FALSE:
      return !value
    case T.BYTE:
    case T.I16:
    case T.I32:
      return random.once(2) ? random.pick(EDGES) : (value as number) + random.between(-3, 3)
    case T.I64:
      return random.once(2)
        ? BigInt(random.pick([...EDGES, 2 ** 40, Number.MAX_SAFE_INTEGER]))
        : BigInt(value as number | bigint) + BigInt(random.between(-40, 40))
    case T.BINARY: {
      const bytes = Uint8Array.from(value as Uint8Array)
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
      return random.once(3) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes
    }
    case T.LIST: {
      const list = value as ThriftList
      const copy = [...list.items]
      if (copy.length === 0) return list
      const at = random.below(copy.length)
      const how = random.below(6)
      if (how === 0) copy.splice(at, 1)
      else if (how === 1) copy.push(copy[at] as ThriftValue)
      else copy[at] = other(list.of, copy[at] as ThriftValue, random)
      return { of: list.of, items: copy }
    }
    case T.STRUCT:
      return changed(value as ThriftStruct, random)
    default:
      return value
  }
}

function withFooter(bytes: Uint8Array, start: number, footer: ThriftStruct): Uint8Array {
  const written = writeStruct(footer)
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(written.length)
  tail.write('PAR1', 4)
  return Buffer.concat([bytes.subarray(0, start), written, tail])
}

/** The header in as many bytes as the old one had, so that the pages behind it stay where they are; undefined where it is longer. */
function fitted(header: ThriftStruct, bytes: number): Uint8Array | undefined {
  const written = writeStruct(header)
  if (written.length === bytes) return written
  if (written.length > bytes) return undefined
  // A field that nobody knows takes what is left: its head, a long id, its length.
  const spare = bytes - written.length - 4
  if (spare < 0) return undefined
  const padded = writeStruct(new Map([...header, [200, put.bytes(new Uint8Array(spare))]]))
  return padded.length === bytes ? padded : undefined
}

/** @returns a broken copy, and in a word how, for messages */
export function mutated(bytes: Uint8Array, random: Random): { bytes: Uint8Array; how: string } {
  const kind = random.pick(['bytes', 'footer', 'footer', 'header', 'header', 'body', 'body', 'length', 'cut'] as const)
  const out = Uint8Array.from(bytes)
  const { start, footer, pages } = structureOf(bytes)
  if (kind === 'cut') return { bytes: out.subarray(0, random.below(out.length)), how: kind }
  if (kind === 'length') {
    const at = out.length - 8
    Buffer.from(out.buffer).writeUInt32LE((out.length - 8 - start + random.between(-40, 40)) >>> 0, at)
    return { bytes: out, how: kind }
  }
  if (kind === 'bytes') {
    for (let n = random.between(1, 4); n > 0; n--) out[random.below(out.length)] = random.below(256)
    return { bytes: out, how: kind }
  }
  if (kind === 'footer') {
    let value = footer
    for (let n = random.between(1, 3); n > 0; n--) value = changed(value, random)
    return { bytes: withFooter(bytes, start, value), how: kind }
  }
  if (pages.length === 0) return { bytes: withFooter(bytes, start, changed(footer, random)), how: 'footer' }
  const page = random.pick(pages)
  const body = page.at + page.headBytes
  if (kind === 'body') {
    if (page.bodyBytes === 0) return { bytes: out, how: 'nothing' }
    // Levels and widths stand in front, where a byte says the most.
    for (let n = random.between(1, 3); n > 0; n--)
      out[body + random.below(random.once(2) ? Math.min(16, page.bodyBytes) : page.bodyBytes)] = random.pick([
        0,
        1,
        2,
        3,
        0x7f,
        0x80,
        0xff,
        random.below(256),
      ])
  }
  let header = kind === 'header' ? changed(page.header, random) : page.header
  if (header.has(4)) header = new Map(header).set(4, put.i32(crc32(out.subarray(body, body + page.bodyBytes)) | 0))
  const head = fitted(header, page.headBytes)
  if (head) out.set(head, page.at)
  return { bytes: out, how: head ? kind : 'body' }
}
