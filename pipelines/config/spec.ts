/**
 * Describes configuration as data: each Spec reads one value and says what it expects. Pure.
 * Types come out of the description, so a key can't be read that was not declared, and an undeclared key is an error that names
 * the nearest declared one.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { nearest } from '../../lib/core/nearest.ts'

export interface Spec<T> {
  /** Words for an error: "an integer from 1". */
  readonly expects: string
  /** @throws PseudolakeError `config/invalid`, `config/unknown-key` with the path of the key, never its value */
  read(value: unknown, path: string): T
  /** All that is wrong with a value, where `read` throws the first of it. */
  problems(value: unknown, path: string): readonly PseudolakeError[]
  /**
   * What `read` takes, as people should write it: blanks around words, and numbers and booleans in quotes, are read and not in here.
   * (JSON Schema, draft 2020-12.)
   */
  readonly schema: JsonSchema
  /** May be missing. */
  readonly optional?: boolean
  /** For an object of which just one key may be given: setting one later takes the place of the other. */
  readonly exclusive?: boolean
  /** The specs of the keys, for walking. */
  child?(key: string): Spec<unknown> | undefined
}

export type JsonSchema = { readonly [keyword: string]: unknown }

export type Read<S> = S extends Spec<infer T> ? T : never

export function invalid(path: string, expected: string, value: unknown, hint?: string): PseudolakeError {
  const got =
    value === undefined ? 'nothing' : value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
  return new PseudolakeError('config/invalid', `${path}: expected ${expected}, got ${got}`, {
    key: path,
    ...(hint === undefined ? {} : { hint }),
  })
}

function leaf<T>(expects: string, schema: JsonSchema, convert: (value: unknown) => T | undefined): Spec<T> {
  return {
    expects,
    schema: { description: expects, ...schema },
    read(value, path) {
      const read = convert(value)
      if (read === undefined) throw invalid(path, expects, value)
      return read
    },
    problems: (value, path) => (convert(value) === undefined ? [invalid(path, expects, value)] : []),
  }
}

/** A pattern as JSON Schema has them: without flags. */
function sourceOf({ source, ignoreCase }: RegExp): string {
  return ignoreCase ? source.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`) : source
}

export const text = (expects = 'a text', pattern = /\S/): Spec<string> =>
  leaf(expects, { type: 'string', pattern: sourceOf(pattern) }, (value) => {
    const given = typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : undefined
    return given !== undefined && pattern.test(given) ? given : undefined
  })

/** A text kept as it is, blanks too: values to compare with data. */
export const verbatim = (): Spec<string> =>
  leaf('a text', { type: 'string' }, (value) => (typeof value === 'string' ? value : undefined))

export const boolean = (): Spec<boolean> =>
  leaf('true or false', { type: 'boolean' }, (value) => {
    if (typeof value === 'boolean') return value
    const word = typeof value === 'string' ? value.trim().toLowerCase() : ''
    return word === 'true' ? true : word === 'false' ? false : undefined
  })

export const integer = (least = 1, most = Number.MAX_SAFE_INTEGER): Spec<number> =>
  leaf(
    `an integer from ${least}${most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`,
    { type: 'integer', minimum: least, maximum: most },
    (value) => {
      const given = typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value
      return Number.isSafeInteger(given) && (given as number) >= least && (given as number) <= most
        ? (given as number)
        : undefined
    },
  )

export const ratio = (): Spec<number> =>
  leaf('a number from 0 to 1', { type: 'number', minimum: 0, maximum: 1 }, (value) =>
    typeof value === 'number' && value >= 0 && value <= 1 ? value : undefined,
  )

export const oneOf = <const C extends readonly string[]>(...choices: C): Spec<C[number]> =>
  leaf(`one of ${choices.join(', ')}`, { type: 'string', enum: choices }, (value) =>
    choices.find((choice) => choice === (typeof value === 'string' ? value.trim() : value)),
  )

/** Of the choices in small letters, spelt in whichever. */
export const anyCase = <const C extends readonly string[]>(...choices: C): Spec<C[number]> =>
  leaf(
    `one of ${choices.join(', ')}`,
    { type: 'string', enum: [...choices, ...choices.map((choice) => choice.toUpperCase())] },
    (value) => choices.find((choice) => choice === (typeof value === 'string' ? value.trim().toLowerCase() : value)),
  )

const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 }
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Bytes, from `64MB`; a bare number is bytes. 1 KB = 1,024 bytes. */
export const size = (least = 1): Spec<number> =>
  quantity(`a size such as 64MB${least > 1 ? `, at least ${least}` : ''}`, least, UNIT_BYTES, (unit) =>
    unit.toUpperCase().replace('IB', 'B'),
  )

/** Milliseconds, from `500ms`, `60s`, `5m`; a bare number is milliseconds. */
export const duration = (): Spec<number> => quantity('a duration such as 60s', 1, UNIT_MS, (unit) => unit.toLowerCase())

function quantity(
  expects: string,
  least: number,
  units: Readonly<Record<string, number>>,
  normal: (unit: string) => string,
): Spec<number> {
  const names = Object.keys(units).filter((unit) => least === 1 || (units[unit] ?? 0) >= least)
  const spelled = names.map((unit) => unit.replace(/[A-Z]/g, (letter) => `[${letter}${letter.toLowerCase()}]`))
  const pattern = `^[1-9]\\d*(?:\\.\\d+)?\\s*(?:${spelled.join('|')})${least === 1 ? '?' : ''}$`
  const schema = {
    anyOf: [
      { type: 'number', minimum: least },
      { type: 'string', pattern },
    ],
  }
  return leaf(expects, schema, (value) => {
    if (typeof value === 'number') return value >= least ? value : undefined
    const match = typeof value === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)?\s*$/.exec(value) : null
    if (!match) return undefined
    const factor = match[2] === undefined ? 1 : units[normal(match[2])]
    const amount = factor === undefined ? Number.NaN : Math.round(Number(match[1]) * factor)
    return amount >= least ? amount : undefined
  })
}

export const list = <T>(item: Spec<T>): Spec<readonly T[]> => ({
  expects: `a list, each ${item.expects}`,
  schema: { type: 'array', items: item.schema },
  read(value, path) {
    if (!Array.isArray(value)) throw invalid(path, this.expects, value)
    return value.map((one, i) => item.read(one, `${path}[${i}]`))
  },
  problems(value, path) {
    if (!Array.isArray(value)) return [invalid(path, this.expects, value)]
    return value.flatMap((one, i) => item.problems(one, `${path}[${i}]`))
  },
})

function nullable(schema: JsonSchema): JsonSchema {
  if (typeof schema.type !== 'string' || schema.oneOf) return { anyOf: [schema, { type: 'null' }] }
  const { enum: choices } = schema
  return { ...schema, type: [schema.type, 'null'], ...(Array.isArray(choices) && { enum: [...choices, null] }) }
}

/** Null or missing is `undefined`. */
export const optional = <T>(spec: Spec<T>): Spec<T | undefined> => ({
  ...spec,
  optional: true,
  schema: nullable(spec.schema),
  read: (value, path) => (value === undefined || value === null ? undefined : spec.read(value, path)),
  problems: (value, path) => (value === undefined || value === null ? [] : spec.problems(value, path)),
})

/** Null or missing takes the default. */
export const withDefault = <T>(spec: Spec<T>, fallback: T): Spec<T> => ({
  ...spec,
  optional: true,
  // The default of an object is said by the defaults of its keys.
  schema: {
    ...nullable(spec.schema),
    ...((typeof fallback !== 'object' || Array.isArray(fallback)) && { default: fallback }),
  },
  read: (value, path) => (value === undefined || value === null ? fallback : spec.read(value, path)),
  problems: (value, path) => (value === undefined || value === null ? [] : spec.problems(value, path)),
})

/** Keys of the user's choosing. */
export const mapOf = <T>(expectsKey: string, pattern: RegExp, spec: Spec<T>): Spec<ReadonlyMap<string, T>> => ({
  expects: `keys that are ${expectsKey}`,
  schema: { type: 'object', propertyNames: { pattern: sourceOf(pattern) }, additionalProperties: spec.schema },
  child: () => spec as Spec<unknown>,
  problems(value, path) {
    if (!isRecord(value)) return [invalid(path, this.expects, value)]
    return Object.entries(value).flatMap(([key, one]) =>
      pattern.test(key) ? spec.problems(one, `${path}.${key}`) : [invalid(`${path}.${key}`, expectsKey, one)],
    )
  },
  read(value, path) {
    const read = new Map<string, T>()
    for (const [key, one] of Object.entries(record(value, path, this.expects))) {
      if (!pattern.test(key)) throw invalid(`${path}.${key}`, expectsKey, one)
      read.set(key, spec.read(one, `${path}.${key}`))
    }
    return read
  },
})

type Fields = Readonly<Record<string, Spec<unknown>>>
type ReadFields<F extends Fields> = { readonly [K in keyof F]: Read<F[K]> }

/** Declared keys only. */
export function object<F extends Fields>(fields: F): Spec<ReadFields<F>> {
  return {
    expects: `the keys ${Object.keys(fields).join(', ')}`,
    schema: {
      type: 'object',
      properties: Object.fromEntries(Object.entries(fields).map(([key, spec]) => [key, spec.schema])),
      required: Object.keys(fields).filter((key) => fields[key]?.optional !== true),
      additionalProperties: false,
    },
    problems(value, path) {
      if (!isRecord(value)) return [invalid(path === '' ? 'the configuration' : path, this.expects, value)]
      const unknown = Object.keys(value).filter((key) => !Object.hasOwn(fields, key))
      return [
        ...unknown.map((key) => unknownKey(path, key, Object.keys(fields))),
        ...Object.entries(fields).flatMap(([key, spec]) =>
          spec.problems(value[key], path === '' ? key : `${path}.${key}`),
        ),
      ]
    },
    child: (key) => (Object.hasOwn(fields, key) ? fields[key] : undefined),
    read(value, path) {
      const given = record(value, path, this.expects)
      for (const key of Object.keys(given))
        if (!Object.hasOwn(fields, key)) throw unknownKey(path, key, Object.keys(fields))
      return Object.fromEntries(
        Object.entries(fields).map(([key, spec]) => [key, spec.read(given[key], path === '' ? key : `${path}.${key}`)]),
      ) as ReadFields<F>
    },
  }
}

/** Just one of the declared keys. */
export function exactlyOne<F extends Fields>(fields: F): Spec<Partial<ReadFields<F>>> {
  const inner = object(Object.fromEntries(Object.entries(fields).map(([key, spec]) => [key, optional(spec)])) as F)
  return {
    ...inner,
    exclusive: true,
    expects: `just one of ${Object.keys(fields).join(', ')}`,
    schema: {
      ...inner.schema,
      oneOf: Object.entries(fields).map(([key, spec]) => ({ required: [key], properties: { [key]: spec.schema } })),
    },
    problems(value, path) {
      const found = inner.problems(value, path)
      const given = isRecord(value) ? Object.values(value).filter((one) => one !== undefined && one !== null) : []
      return found.length > 0 || given.length === 1 ? found : [invalid(path, this.expects, value)]
    },
    read(value, path) {
      const read = inner.read(value, path)
      const given = Object.entries(read).filter(([, one]) => one !== undefined)
      if (given.length !== 1) throw invalid(path, this.expects, value)
      return Object.fromEntries(given) as Partial<ReadFields<F>>
    },
  }
}

/** A plain value, or an object or a list in its place. */
export const either = <A, B>(plain: Spec<A>, keys: Spec<B>): Spec<A | B> => ({
  expects: `${plain.expects}, or ${keys.expects}`,
  schema: { anyOf: [plain.schema, keys.schema] },
  ...(keys.child && { child: keys.child }),
  read: (value, path) => (isPlain(value) ? plain : keys).read(value, path),
  problems: (value, path) => (isPlain(value) ? plain : keys).problems(value, path),
})

function isPlain(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function record(value: unknown, path: string, expects: string): Record<string, unknown> {
  if (!isRecord(value)) throw invalid(path === '' ? 'the configuration' : path, expects, value)
  return value
}

export function unknownKey(path: string, key: string, known: readonly string[]): PseudolakeError {
  const near = nearest(key, known)
  const where = path === '' ? key : `${path}.${key}`
  return new PseudolakeError(
    'config/unknown-key',
    `unknown key ${where}${near === undefined ? `; known here: ${known.join(', ')}` : `; did you mean ${path === '' ? near : `${path}.${near}`}?`}`,
    { key: where, ...(near === undefined ? {} : { nearest: near }) },
  )
}
