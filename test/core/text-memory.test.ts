import { expect, test } from 'vitest'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import { areas } from '../../lib/core/wasm/engine.ts'
import { readTexts, writeList } from '../../lib/wire/list.ts'

test('nothing of a list stays in the memory that reads and writes it, also of one that it leaves to others', () => {
  const held = () => areas(0).bytes.includes('SECRET')
  const values = Array.from({ length: 500 }, (_, i) => `SECRET-${i}-"\n-SECRET`)
  const plain = values.map((value) => value.replace(/["\n]/g, 'é'))
  for (const body of [JSON.stringify({ identifiers: plain }), JSON.stringify({ identifiers: [...plain, 'SECRET"'] })])
    readTexts([Buffer.from(body)], 'identifiers', 1_000)
  expect(held()).toBe(false)
  expect(Buffer.from(writeList('identifiers', packTexts(values) as TextBatch)).toString()).toContain('SECRET')
  expect(held()).toBe(false)
})
