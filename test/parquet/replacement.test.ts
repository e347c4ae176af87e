import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { OutputColumn } from '../../lib/parquet/output-tree.ts'
import type { Replace, ReplacedTexts } from '../../lib/parquet/replace.ts'
import { Replacements, type ReplacementsOptions } from '../../lib/parquet/replacements.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'

const PLACE = { location: 'memory:/x', column: ['vin'], rowGroup: 3, page: 1 }

function column(leaf: Partial<LeafNode> = {}, treatment: Partial<OutputColumn> = {}) {
  const source = { kind: 'leaf', name: 'vin', path: ['vin'], physical: 'BYTE_ARRAY', column: 0, ...leaf } as LeafNode
  return { source, leaf: source, treatment: 'replace', replaced: true, ...treatment } as OutputColumn & {
    source: LeafNode
  }
}

function plain(...values: (string | Uint8Array)[]): Uint8Array {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(Buffer.byteLength(value))
      return [length, Buffer.from(value)]
    }),
  )
}

function recording(
  options: Partial<Omit<ReplacementsOptions, 'replace' | 'replaceBytes'>> = {},
  answer: (text: string) => string | null = (t) => `<${t}>`,
) {
  const calls: (readonly string[])[] = []
  const replace: Replace = async (_column, texts) => {
    calls.push(texts)
    return texts.map(answer)
  }
  return { calls, tables: new Replacements({ replace, ...options }) }
}

async function replaced(tables: Replacements, values: readonly string[], of = column()): Promise<string[]> {
  const replacement = tables.of(of)
  const { slots } = replacement.lookAll(plain(...values), values.length, PLACE)
  await replacement.settle()
  const into = Buffer.alloc(replacement.sizeOf(slots))
  replacement.emit(slots, into)
  const out: string[] = []
  for (let at = 0; at < into.length; ) {
    const length = into.readUInt32LE(at)
    out.push(into.toString('utf8', at + 4, at + 4 + length))
    at += 4 + length
  }
  return out
}

test('a value is asked for once, over calls and files; the empty string never', async () => {
  const { calls, tables } = recording()
  expect(await replaced(tables, ['a', 'b', 'a', '', 'ü€'])).toEqual(['<a>', '<b>', '<a>', '', '<ü€>'])
  expect(await replaced(tables, ['b', 'c', 'a'])).toEqual(['<b>', '<c>', '<a>'])
  expect(calls).toEqual([['a', 'b', 'ü€'], ['c']])
})

test('columns of one group share what is known, columns of another type do not', async () => {
  const { calls, tables } = recording({ groupOf: () => 'one', columns: 2 })
  await replaced(tables, ['a'])
  await replaced(tables, ['a'], column({ path: ['other'] }))
  expect(calls).toEqual([['a']])
  const ints = tables.of(column({ path: ['n'], physical: 'INT32' }))
  ints.lookAll(new Uint8Array(Int32Array.of(97, -5).buffer), 2, PLACE)
  await ints.settle()
  expect(calls).toEqual([['a'], ['97', '-5']])
})

test('different bytes that are one text are asked for once', async () => {
  const { calls, tables } = recording()
  const decimals = tables.of(column({ logical: { type: 'decimal', precision: 9, scale: 2 } }))
  const { slots } = decimals.lookAll(plain(Uint8Array.of(1, 44), Uint8Array.of(0, 1, 44), Uint8Array.of(5)), 3, PLACE)
  await decimals.settle()
  expect(calls).toEqual([['3.00', '0.05']])
  const into = Buffer.alloc(decimals.sizeOf(slots))
  decimals.emit(slots, into)
  expect(into.toString('latin1').match(/<[^>]*>/g)).toEqual(['<3.00>', '<3.00>', '<0.05>'])
})

test('requests are whole while values come in, the rest is asked for at the end', async () => {
  const { calls, tables } = recording({ fullRequest: 10 })
  const replacement = tables.of(column())
  const values = Array.from({ length: 47 }, (_, i) => `v${i}`)
  replacement.lookAll(plain(...values.slice(0, 23)), 23, PLACE)
  replacement.ask()
  replacement.lookAll(plain(...values.slice(20)), 27, PLACE)
  replacement.ask()
  expect(replacement.asking).toBe(2)
  await replacement.settle()
  expect(calls.map((texts) => texts.length)).toEqual([20, 20, 7])
  expect(calls.flat()).toEqual(values)
})

test('a service that fails leaves nothing that could be taken for an answer', async () => {
  let fail = true
  const replace: Replace = async (_column, texts) => {
    if (fail) throw new Error('outage')
    return texts.map((text) => `<${text}>`)
  }
  const tables = new Replacements({ replace, fullRequest: 1 })
  const replacement = tables.of(column())
  replacement.lookAll(plain('a', 'b'), 2, PLACE)
  replacement.ask()
  await expect(replacement.one()).rejects.toThrow('outage')
  fail = false
  expect(await replaced(tables, ['b', 'a'])).toEqual(['<b>', '<a>'])
})

test.each([
  ['another number of values', async () => [] as string[]],
  ['something that is no string', async (texts: readonly string[]) => texts.map(() => undefined as unknown as string)],
  ['something that is no string', async (texts: readonly string[]) => texts.map(() => null)],
])('an answer of %s is an error, not a value', async (message, answer) => {
  const tables = new Replacements({ replace: (_column, texts) => answer(texts) })
  await expect(replaced(tables, ['a'])).rejects.toThrow(message)
})

test('null is an answer where the treatment allows it', async () => {
  const { tables } = recording({}, (text) => (text === 'n/a' ? null : `<${text}>`))
  const replacement = tables.of(column({}, { nullable: true, emptyIsNull: true }))
  const { slots } = replacement.lookAll(plain('n/a', 'a', ''), 3, PLACE)
  await replacement.settle()
  expect([...slots].map((slot) => replacement.isNull(slot))).toEqual([true, false, true])
  expect(() => replacement.sizeOf(slots)).toThrow('without its replacement')
})

test('a table that has more than it may is emptied, and what comes again is asked for again', async () => {
  const { calls, tables } = recording({ maxBytes: 1 })
  const replacement = tables.of(column())
  await replaced(tables, ['a', 'b'])
  expect(replacement).toMatchObject({ full: true, overfull: true })
  replacement.gathered()
  // What was gathered is used before it may go.
  replacement.makeRoom()
  await replaced(tables, ['a'])
  expect(calls).toEqual([['a', 'b']])
  await replaced(tables, ['c'])
  replacement.makeRoom()
  await replaced(tables, ['a'])
  expect(calls).toEqual([['a', 'b'], ['c'], ['a']])
  expect(tables.exact).toBe(false)
})

test('a value that is no text is an error that names its place and length, never the value', async () => {
  const { tables } = recording()
  const replacement = tables.of(column())
  const bad = Uint8Array.of(0x53, 0x45, 0x43, 0xff)
  let error: unknown
  try {
    replacement.lookAll(plain('ä', 'fine', bad), 3, PLACE)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({
    code: 'input/value-invalid',
    context: { column: 'vin', rowGroup: 3, page: 1, index: 2, length: 4 },
  })
  expect(String(error)).not.toContain('SEC')
})

test('values in ASCII of more than 64 KiB are refused as any', () => {
  const { tables } = recording()
  const long = 'x'.repeat(65_537)
  expect(() => tables.of(column()).lookAll(plain('a', long), 2, PLACE)).toThrow('longer than 65536 bytes')
})

test('more columns than tables: each gets its own values’ replacements, of whatever type they are', async () => {
  const { tables } = recording({ columns: 30 })
  const types = [{ physical: 'BYTE_ARRAY' }, { physical: 'INT64' }, { physical: 'INT32' }] as const
  const columns = Array.from({ length: 30 }, (_, i) => column({ path: [`c${i}`], ...types[i % 3] }))
  // All are there before any is used, as where a file is planned.
  const replacements = columns.map((one) => tables.of(one))
  expect(tables.crowded).toBe(true)
  for (let round = 0; round < 2; round++)
    for (const [i, replacement] of replacements.entries()) {
      const values = [i, 1000 + i, i]
      const bytes = [
        () => plain(...values.map(String)),
        () => new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
        () => new Uint8Array(Int32Array.from(values).buffer),
      ][i % 3]?.() as Uint8Array
      replacement.makeRoom()
      const { slots } = replacement.lookAll(bytes, 3, PLACE)
      await replacement.settle()
      const into = Buffer.alloc(replacement.sizeOf(slots))
      replacement.emit(slots, into)
      expect(into.toString('latin1').match(/<[^>]*>/g)).toEqual(values.map((value) => `<${value}>`))
    }
})

test('whoever replaces bytes gets and gives what whoever replaces strings does, whatever the values', async () => {
  const text = fc.oneof(
    fc.constantFrom('', 'n/a', '\u0000', '\u2028', '😀', 'ä'.repeat(300)),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
  )
  const answerOf = (value: string) => (value === 'n/a' ? null : `<${value}>`)
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 60 }), fc.integer({ min: 1, max: 7 }), async (values, fullRequest) => {
      const nullable = column({}, { nullable: true })
      const strings = recording({ fullRequest }, answerOf)
      const calls: string[][] = []
      const bytes = new Replacements({
        fullRequest,
        replaceBytes: async (_column, texts) => {
          const asked = unpackTexts(texts)
          calls.push(asked)
          const answers = asked.map(answerOf)
          const nulls = Uint8Array.from(answers, (answer) => Number(answer === null))
          return { ...(packTexts(answers.map((answer) => answer ?? '')) as TextBatch), nulls }
        },
      })
      const outcomes = await Promise.all(
        [strings.tables, bytes].map(async (tables) => {
          const replacement = tables.of(nullable)
          const { slots } = replacement.lookAll(plain(...values), values.length, PLACE)
          replacement.ask()
          await replacement.settle()
          const present = slots.filter((slot) => !replacement.isNull(slot))
          const into = Buffer.alloc(replacement.sizeOf(present))
          replacement.emit(present, into)
          return { nulls: [...slots].map((slot) => replacement.isNull(slot)), into }
        }),
      )
      expect(calls).toEqual(strings.calls)
      expect(outcomes[0]).toEqual(outcomes[1])
      const expected = values.filter((value) => value !== 'n/a').map((value) => (value === '' ? '' : `<${value}>`))
      expect(outcomes[1]?.into).toEqual(Buffer.from(plain(...expected)))
    }),
    { numRuns: 200 },
  )
})

test.each<[string, (texts: TextBatch) => ReplacedTexts]>([
  ['another number of values', ({ bytes }) => ({ bytes, offsets: Uint32Array.of(0) })],
  ['another number of values', ({ bytes }) => ({ bytes, offsets: Uint32Array.of(0, 1, 2) })],
  ['another number of values', ({ bytes }) => ({ bytes, offsets: Uint32Array.of(0, 1000) })],
  ['another number of values', (texts) => ({ ...texts, nulls: new Uint8Array(2) })],
  ['something that is no string', (texts) => ({ ...texts, nulls: Uint8Array.of(1) })],
])('bytes that are %s are an error, not a value', async (message, answer) => {
  const tables = new Replacements({ replaceBytes: async (_column, texts) => answer(texts) })
  await expect(replaced(tables, ['a'])).rejects.toThrow(message)
})
