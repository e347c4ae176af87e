/** Effective settings, each with where it comes from. Pure. */
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml'
import { loadTree, type Overrides, parseTree, specOf } from './load.ts'
import { originalKeyOf } from './original.ts'

export interface Explained {
  /** Dotted, as `--set` takes it. */
  readonly key: string
  readonly value: unknown
  /** `form`: the original form implies it. */
  readonly origin: 'default' | 'file' | 'form' | 'env' | 'set'
  /** Line in the file, from 1. */
  readonly line?: number
  /** The key of the file where it is another one (original form), the variable, or the option. */
  readonly from?: string
  /** Of an environment variable that holds a secret. */
  readonly is_set?: boolean
}

/** Keys that name a variable which holds a secret. */
const VARIABLES = ['service.api_key.env', 'output.catalog.credential.env', 'output.catalog.token.env']

/**
 * Every key that has a value, in the order of the documentation. There are no secrets in a configuration, only the names of where they are; what
 * could be one all the same, user and query of a URL, is left out, and so are `null_values`, which are out of somebody's data.
 * @throws PseudolakeError as `readBatchConfig`
 */
export function explainConfig(source: string, overrides: Overrides = {}): Explained[] {
  const { form, kind, tree, assigned } = loadTree(source, overrides)
  const given: Record<string, unknown> = { ...parseTree(source) }
  if (form === 'original') for (const { words } of assigned) if (words.length === 1) given[words[0] as string] ??= true
  const lineOf = lines(source)
  return flatten(specOf(kind).read(tree, ''), []).map(({ words, value }): Explained => {
    const key = words.join('.')
    const shown = { key, value: shownValue(words, value) }
    const isSet = VARIABLES.includes(key) ? { is_set: Boolean(overrides.env?.[String(value)]) } : {}
    if (!isGiven(tree, words)) return { ...shown, origin: 'default', ...isSet }
    const by = assigned.findLast((each) =>
      each.words.every((word, i) => word === (each.kind === 'env' ? words[i]?.toLowerCase() : words[i])),
    )
    if (by) return { ...shown, origin: by.kind, from: by.name, ...isSet }
    if (form === 'native') return { ...shown, origin: 'file', ...line(lineOf(words)), ...isSet }
    const original = originalKeyOf(words, given)
    const instead = assigned.findLast((each) => each.words.length === 1 && each.words[0] === original)
    if (instead) return { ...shown, origin: instead.kind, from: instead.name, ...isSet }
    return original === undefined
      ? { ...shown, origin: 'form' }
      : { ...shown, origin: 'file', ...line(lineOf([original])), from: original, ...isSet }
  })
}

const line = (number: number | undefined) => (number === undefined ? {} : { line: number })

function flatten(value: unknown, words: readonly string[]): { words: readonly string[]; value: unknown }[] {
  if (value === undefined) return []
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ words, value }]
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value)
  return entries.flatMap(([key, one]) => flatten(one, [...words, key]))
}

function isGiven(tree: unknown, words: readonly string[]): boolean {
  let node = tree
  for (const word of words) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, word)) return false
    node = (node as Record<string, unknown>)[word]
  }
  return node !== undefined && node !== null
}

function shownValue(words: readonly string[], value: unknown): unknown {
  if (words[0] === 'columns' && words.at(-1) === 'null_values') return `${(value as readonly unknown[]).length} texts`
  return typeof value === 'string' ? withoutSecrets(value) : value
}

/** A URL's user, password and query are where people put keys. */
function withoutSecrets(text: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text
  return text.replace(/^([^:]+:\/\/)[^/@]*@/, '$1…@').replace(/\?.*$/s, '?…')
}

/** Lines of the keys of a YAML or JSON text; undefined for what comes by an alias. */
function lines(source: string): (words: readonly string[]) => number | undefined {
  const counter = new LineCounter()
  const document = parseDocument(source, { lineCounter: counter, prettyErrors: false })
  return (words) => {
    let node: unknown = document.contents
    let key: unknown
    for (const word of words) {
      if (!isMap(node)) return undefined
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === word)
      if (!pair) return undefined
      key = pair.key
      node = pair.value
    }
    const start = isScalar(key) ? key.range?.[0] : undefined
    return start === undefined ? undefined : counter.linePos(start).line
  }
}
