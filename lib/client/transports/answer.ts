import type { TextBatch } from '../../core/texts.ts'
import { readList } from '../../wire/body.ts'
import { readTexts } from '../../wire/list.ts'
import { packAnswer } from '../bytes.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The texts in an answer's body, or what is wrong with the body, in words that repeat nothing of it. Unlike in a request, a number is no
 * text. Nearly every body is a list as a program writes it, and is taken as it stands; of any other JSON says what it is.
 * @param body in pieces
 * @param count of the request
 * @throws PseudolakeError `service/bad-answer` where the list is another length, or has something in it that is no text
 */
export function readAnswer(
  body: readonly Uint8Array[],
  field: string,
  count: number,
): TextBatch | { readonly wrong: string } {
  return readTexts(body, field, count) ?? readAnyAnswer(body, field, count)
}

/** The same of any JSON, by way of its parsed values: what {@link readAnswer} does where a body is not as most programs write it. */
export function readAnyAnswer(
  body: readonly Uint8Array[],
  field: string,
  count: number,
): TextBatch | { readonly wrong: string } {
  const parsed = parseList(Buffer.concat(body), field)
  return 'wrong' in parsed ? parsed : packAnswer(parsed.list, count)
}

function parseList(body: Uint8Array, field: string): { readonly list: unknown[] } | { readonly wrong: string } {
  let text: string
  let parsed: unknown
  try {
    text = UTF8.decode(body)
  } catch {
    return { wrong: 'the body is not UTF-8' }
  }
  try {
    parsed = JSON.parse(text)
  } catch {
    return { wrong: text.trim() === '' ? 'the body is empty' : 'the body is not JSON' }
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { wrong: 'the body is not a JSON object' }
  }
  const list = (parsed as Record<string, unknown>)[field]
  if (!Object.hasOwn(parsed, field) || !Array.isArray(list)) return { wrong: `it has no list ${field}` }
  // A field that comes twice has two meanings. The walk that finds it costs as much as the parsing, so it is spared where the name
  // stands there once and nothing can be spelt another way.
  const name = `"${field}"`
  if (text.includes('\\') || text.indexOf(name) !== text.lastIndexOf(name)) {
    const walked = readList(body, field)
    if ('wrong' in walked) return { wrong: walked.wrong }
  }
  return { list }
}
