import { parseArgs } from 'node:util'
import { PseudolakeError } from '../lib/core/errors.ts'
import { nearest } from '../lib/core/nearest.ts'
import type { Arguments, Command, Option } from './command.ts'

/** Options that every command takes. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { type: 'boolean', summary: 'Print one JSON document on stdout, on failure too' },
  quiet: { type: 'boolean', summary: 'No progress on stderr' },
  help: { type: 'boolean', summary: 'Print this help' },
}

/**
 * Command-line words to checked arguments. Pure.
 * @throws PseudolakeError `options/invalid` with the option, what was expected and the nearest known one
 */
export function parse(command: Command, words: readonly string[]): Arguments {
  const table: Readonly<Record<string, Option>> = { ...command.options, ...COMMON }
  const spec = Object.fromEntries(
    Object.entries(table).map(([name, option]) => [
      name,
      {
        type: option.type === 'boolean' ? ('boolean' as const) : ('string' as const),
        multiple: option.multiple ?? false,
        ...(name === 'help' && { short: 'h' }),
      },
    ]),
  )
  const { values, positionals } = read(command, words, spec)
  const checked = new Map<string, string | number | boolean | readonly string[]>()
  for (const [name, value] of Object.entries(values)) checked.set(name, check(name, table[name] as Option, value))
  if (values.help !== true) {
    for (const [name, option] of Object.entries(table))
      if (option.required && !checked.has(name))
        throw invalid(command, `--${name} ${option.value ?? ''}`.trim(), 'is required')
    checkPositionals(command, positionals)
  }
  return {
    positionals,
    string: (name) => checked.get(name) as string | undefined,
    strings: (name) => (checked.get(name) as readonly string[] | undefined) ?? [],
    number: (name) => checked.get(name) as number | undefined,
    flag: (name) => checked.get(name) === true,
  }
}

type Spec = Record<string, { type: 'boolean' | 'string'; multiple: boolean; short?: string }>

function read(command: Command, words: readonly string[], spec: Spec) {
  try {
    return parseArgs({ args: [...words], options: spec, allowPositionals: true, strict: true })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const word = /'(-[^' ]*)/.exec((error as Error).message)?.[1] ?? ''
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const near = nearest(word.replace(/^-+/, ''), Object.keys(spec))
      throw invalid(command, word, `is not an option of it${near === undefined ? '' : `; did you mean --${near}?`}`)
    }
    throw invalid(command, word, 'needs a value (write --option=VALUE where the value begins with a dash)')
  }
}

function check(name: string, option: Option, value: unknown) {
  if (option.type === 'boolean') return value === true
  if (option.multiple) return value as readonly string[]
  const text = value as string
  if (option.choices && !option.choices.includes(text))
    throw new PseudolakeError('options/invalid', `--${name}: expected one of ${option.choices.join(', ')}`, {
      option: name,
    })
  if (option.type === 'string') return text
  const number = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(number) || (option.type === 'integer' && !Number.isSafeInteger(number)))
    throw new PseudolakeError(
      'options/invalid',
      `--${name}: expected ${option.type === 'integer' ? 'an integer' : 'a number'}`,
      {
        option: name,
      },
    )
  return number
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const wanted = command.positionals ?? []
  const missing = wanted.find((positional, i) => positional.required && given[i] === undefined)
  if (missing) throw invalid(command, missing.name, 'is required')
  if (given.length > wanted.length)
    throw invalid(command, `argument ${wanted.length + 1}`, `is one too many: ${command.name} takes ${wanted.length}`)
}

function invalid(command: Command, what: string, problem: string): PseudolakeError {
  return new PseudolakeError('options/invalid', `${command.name}: ${what} ${problem}`, { command: command.name })
}
