/**
 * `{"<field>":["…",…]}` as bytes, written and read without making a string of any text: what nearly every body of the contract is.
 */
import { isThere, jsonSizes, putJson, scanJson } from '../core/text-engine.ts'
import type { TextBatch } from '../core/texts.ts'

const TAIL = ']}'
/** A quote on each side, and a comma. */
const QUOTES_BYTES = 3
/** Longer bodies are no list that a client of ours has asked for; the memory that reads them does not shrink again. */
const MOST_BYTES = 8 << 20

/** The body, as JSON.stringify writes it. @param batch UTF-8 */
export function writeList(field: string, batch: TextBatch): Uint8Array<ArrayBuffer> {
  const sizes = jsonSizes(batch)
  const head = headOf(field)
  let size = head.length + TAIL.length + Math.max(0, QUOTES_BYTES * sizes.length - 1)
  for (let i = 0; i < sizes.length; i++) size += sizes[i] as number
  const out = new Uint8Array(size)
  const buffer = Buffer.from(out.buffer)
  buffer.write(head, 0, 'latin1')
  buffer.write(TAIL, putJson(batch, sizes, out, head.length), 'latin1')
  return out
}

/**
 * The texts of a body that is nothing but a list of them, in buffers of their own.
 * @param body in pieces
 * @param most texts
 * @returns undefined for every other body, whatever is the matter with it, and where this machine can't read it so: who wants to know parses it as JSON
 */
export function readTexts(body: readonly Uint8Array[], field: string, most: number): TextBatch | undefined {
  const size = body.reduce((sum, { length }) => sum + length, 0)
  return size > MOST_BYTES || !isThere() ? undefined : scanJson(body, size, { field, most })
}

function headOf(field: string): string {
  return `{"${field}":[`
}
