import { createRequire } from 'node:module'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { BATCH, type BatchSettings, STREAM, type StreamSettings } from './native.ts'
import { fromOriginal, isOriginal, isOriginalKey, isStream, type Tree } from './original.ts'
import { invalid, type Spec, unknownKey } from './spec.ts'

export interface Overrides {
  /** `--set a.b=v`, in order; later ones win. */
  readonly set?: readonly string[]
  /** `PSEUDOLAKE_SET_A__B=v`; `--set` wins over it. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Loaded where there is YAML to read: a JSON configuration has none. */
const yaml = () => createRequire(import.meta.url)('yaml') as typeof import('yaml')

const ENV_PREFIX = 'PSEUDOLAKE_SET_'

/** What a configuration is of: one that names a Kinesis stream is a stream's. */
export type ConfigKind = 'batch' | 'stream'

const SPECS = { batch: BATCH, stream: STREAM } as const

/** The description of a kind's keys. */
export function specOf(kind: ConfigKind): Spec<unknown> {
  return SPECS[kind] as Spec<unknown>
}

/** Where a value was set that is not from the file. */
export interface Assigned {
  readonly kind: 'env' | 'set'
  /** `--set KEY`, or the variable's name. */
  readonly name: string
  readonly words: readonly string[]
}

/** A configuration before it is read: the native keys that file and overrides give, defaults not among them. */
export interface ConfigTree {
  readonly form: 'native' | 'original'
  readonly kind: ConfigKind
  readonly tree: Tree
  /** In the order in which they were applied. */
  readonly assigned: readonly Assigned[]
}

/**
 * Reads a batch configuration, native or original, with its overrides. Pure.
 * @param source YAML or JSON text (JSON is YAML)
 * @throws PseudolakeError `config/invalid`, `config/unknown-key`, naming the key and never its value
 */
export function readBatchConfig(source: string, overrides: Overrides = {}): BatchSettings {
  return BATCH.read(treeOf('batch', source, overrides), '')
}

/** Reads a stream's configuration, as {@link readBatchConfig} does a batch run's. */
export function readStreamConfig(source: string, overrides: Overrides = {}): StreamSettings {
  return STREAM.read(treeOf('stream', source, overrides), '')
}

function treeOf(kind: ConfigKind, source: string, overrides: Overrides): Tree {
  const loaded = loadTree(source, overrides)
  if (loaded.kind === kind) return loaded.tree
  const key = loaded.form === 'original' ? 'kinesis_stream_name' : 'input.stream'
  throw kind === 'batch'
    ? new PseudolakeError('config/invalid', `${key}: expected a batch configuration, got a stream’s`, {
        key,
        hint: 'Streams are run by `pseudolake stream`.',
      })
    : new PseudolakeError('config/invalid', `${key}: expected the name of a Kinesis stream, got nothing`, {
        key,
        hint: 'Datasets are read by `pseudolake batch`.',
      })
}

/** The first half of `readBatchConfig`. @throws PseudolakeError as it does, but for what is wrong with single values */
export function loadTree(source: string, overrides: Overrides = {}): ConfigTree {
  const given = parseTree(source)
  const form = isOriginal(given) ? 'original' : 'native'
  const assigned = assignments(overrides)
  // A key of the form that the file is in: what follows from it follows from what is set.
  const ofForm = ({ words: [word = '', ...below] }: Assignment) =>
    form === 'original' && below.length === 0 && isOriginalKey(word)
  const original: Tree = form === 'original' ? { ...given } : {}
  for (const { words, value } of assigned.filter(ofForm)) original[words[0] as string] = scalar(value)
  const native = assigned.filter((assignment) => !ofForm(assignment))
  const named = native.some(({ words }) => words.join('.') === 'input.stream')
  const kind = named || isStream(form === 'original' ? original : given) ? 'stream' : 'batch'
  const tree = withFormat(form === 'original' ? fromOriginal(original) : given)
  for (const assignment of native) assign(tree, assignment, specOf(kind))
  return { form, kind, tree: withFormat(tree), assigned }
}

interface Assignment extends Assigned {
  readonly value: string
}

/** The environment's first, then `--set`, so that later ones win. @throws PseudolakeError `options/invalid`, `config/invalid` */
function assignments({ env = {}, set = [] }: Overrides): Assignment[] {
  const fromEnv = Object.entries(env)
    .filter(([name, value]) => name.startsWith(ENV_PREFIX) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value = '']): Assignment => {
      const words = name.slice(ENV_PREFIX.length).toLowerCase().split('__')
      return { kind: 'env', name, words, value }
    })
  const fromSet = set.map((setting): Assignment => {
    const at = setting.indexOf('=')
    if (at < 1) throw new PseudolakeError('options/invalid', '--set: expected KEY=VALUE', { option: 'set' })
    const key = setting.slice(0, at)
    return { kind: 'set', name: `--set ${key}`, words: splitPath(key), value: setting.slice(at + 1) }
  })
  return [...fromEnv, ...fromSet]
}

/** The format and its settings may be written as one: `format: { csv: { … } }`, or `csv: { … }` alone. */
function withFormat(tree: Tree): Tree {
  const { input } = tree
  if (!isRecord(input)) return tree
  const { format, csv } = input
  if (format === undefined && csv !== undefined) return { ...tree, input: { ...input, format: 'csv' } }
  if (!isRecord(format) || csv !== undefined || Object.keys(format).join() !== 'csv') return tree
  return { ...tree, input: { ...input, format: 'csv', csv: format.csv } }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The keys and values of a configuration's text. @throws PseudolakeError `config/invalid` */
export function parseTree(source: string): Tree {
  const tree = parseJsonOnly(source) ?? parseYaml(source)
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree))
    throw invalid('the configuration', 'keys and values', tree)
  return tree as Tree
}

/** A string of valid JSON, and whether it is a key. */
const JSON_STRING = /"(?:[^"\\]|\\.)*"(\s*:)?/g

/**
 * The value of a text that is JSON and in which no key is given twice; undefined for any other, which is YAML's to read or to refuse.
 * It saves loading YAML, a quarter of what a run with nothing to do takes.
 */
function parseJsonOnly(source: string): unknown {
  if (!/^\s*\{/.test(source)) return undefined
  let written = 0
  for (const [, colon] of source.matchAll(JSON_STRING)) if (colon !== undefined) written++
  let read = 0
  try {
    const tree: unknown = JSON.parse(source, (_key, value: unknown) => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) read += Object.keys(value).length
      return value
    })
    return read === written ? tree : undefined
  } catch {
    return undefined
  }
}

function parseYaml(source: string): unknown {
  const document = yaml().parseDocument(source, { prettyErrors: false })
  const problem = document.errors[0]
  if (problem) {
    const line = source.slice(0, problem.pos[0]).split('\n').length
    throw new PseudolakeError('config/invalid', `line ${line} is not YAML (${problem.code})`, { line })
  }
  try {
    return document.toJS()
  } catch (error) {
    // Aliases that name nothing, or that unfold to more than anybody writes.
    throw new PseudolakeError('config/invalid', 'the YAML’s aliases cannot be resolved', {}, { cause: error })
  }
}

/**
 * Words of a dotted path; backticks keep dots together: ``columns.`a.b`.mode``. A quoted word keeps its backticks for `columns`,
 * where they mean the same.
 */
export function splitPath(path: string): string[] {
  const words = path.match(/(?:`[^`]*`|[^.`])+/g) ?? []
  if (words.length === 0 || words.join('.') !== path)
    throw new PseudolakeError('config/invalid', 'a dotted path has an empty word or an odd backtick', { path })
  return words
}

/** Ways to a service, and what of the file goes when one of them is set: the other ways, and what goes with them alone. */
const SERVICES = {
  url: ['embedded', 'lambda'],
  embedded: ['url', 'lambda', 'api_key', 'auth'],
  lambda: ['url', 'embedded'],
} as const

function assign(tree: Tree, { kind, words, value, name: origin }: Assignment, root: Spec<unknown>): void {
  let node = tree
  let spec: Spec<unknown> | undefined = root
  for (const [i, given] of words.entries()) {
    const word = kind === 'env' ? anyCase(node, given) : given
    // Assigning it would change every object instead of making a key.
    if (word === '__proto__') throw unknownKey(words.slice(0, i).join('.'), word, [])
    // `{ env } | { secret }`: the one that is set now takes the place of the one in the file.
    if (spec?.exclusive) for (const other of Object.keys(node)) if (other !== word) delete node[other]
    if (spec === root.child?.('service') && Object.hasOwn(SERVICES, word))
      for (const other of SERVICES[word as keyof typeof SERVICES]) delete node[other]
    spec = spec?.child?.(word)
    if (i === words.length - 1) node[word] = scalar(value)
    else {
      const next = node[word]
      if (next !== undefined && next !== null && (typeof next !== 'object' || Array.isArray(next)))
        throw new PseudolakeError(
          'config/invalid',
          `${origin}: ${words.slice(0, i + 1).join('.')} has no keys below it`,
          {},
        )
      if (next === undefined || next === null) node[word] = {}
      node = node[word] as Tree
    }
  }
}

/** Names of variables have one case, and names of columns any. */
function anyCase(node: Tree, word: string): string {
  if (Object.hasOwn(node, word)) return word
  const [key, ...others] = Object.keys(node).filter((one) => one.toLowerCase() === word)
  return key !== undefined && others.length === 0 ? key : word
}

/** `--set` takes YAML values, so that lists and booleans can be set; a text that is no YAML stays a text. */
function scalar(text: string): unknown {
  const document = yaml().parseDocument(text, { prettyErrors: false })
  try {
    return document.errors.length > 0 ? text : document.toJS()
  } catch {
    return text
  }
}
