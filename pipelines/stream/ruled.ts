/** The fields that rules name, before any record has shown them: a rule is a promise about what comes. Pure. */
import type { ColumnRule } from '../batch/job.ts'
import type { RecordField, RecordType } from './schema.ts'

const TEXT: RecordType = { kind: 'leaf', type: 'string' }

/**
 * Each a text at the end of its path. A word leads into an object, `element` into a list: what a list is nobody can tell from a name, so a rule that
 * leaves `element` out needs a declared schema. Two rules that contradict each other leave a text, in which one of them is not found then.
 */
export function ruledFields(rules: readonly ColumnRule[]): RecordField[] {
  let fields: readonly RecordField[] = []
  for (const { path, mode } of rules) if (mode !== 'drop') fields = planted(fields, path)
  return [...fields]
}

function planted(fields: readonly RecordField[], [word = '', ...rest]: readonly string[]): RecordField[] {
  const there = fields.find(({ name }) => name === word)
  const type = grown(there?.type, rest)
  return there
    ? fields.map((field) => (field === there ? { name: word, type } : field))
    : [...fields, { name: word, type }]
}

function grown(type: RecordType | undefined, words: readonly string[]): RecordType {
  if (words.length === 0 || type?.kind === 'leaf') return TEXT
  const [word, ...rest] = words
  if (word === 'element' && type?.kind !== 'struct')
    return { kind: 'list', element: grown(type?.kind === 'list' ? type.element : undefined, rest) }
  if (type?.kind === 'list') return TEXT
  return { kind: 'struct', fields: planted(type?.fields ?? [], words) }
}
