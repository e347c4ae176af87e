import { PseudolakeError } from '../lib/core/errors.ts'
import { nearest } from '../lib/core/nearest.ts'
import type { Command, Io } from './command.ts'
import { commandHelp, overview } from './help.ts'
import { failure } from './output/failure.ts'
import { parse } from './parse.ts'
import { allCommands, COMMANDS, find } from './registry.ts'
import { version } from './version.ts'

/** The outside, as main.ts or a test hands it in; `json` and `quiet` are read from the command line. */
export type Outside = Omit<Io, 'json' | 'quiet' | 'note' | 'progress'> & { err(text: string): void }

/**
 * Runs one command line to its end and returns the exit status. Never throws, never exits.
 * On `--json` stdout gets one document, a failure's too, and nothing else.
 */
export async function runCli(words: readonly string[], outside: Outside): Promise<number> {
  const json = words.includes('--json')
  try {
    return await dispatch(words, outside)
  } catch (error) {
    const failed = failure(error)
    if (json) outside.out(`${JSON.stringify(failed.json)}\n`)
    outside.err(failed.text)
    return failed.exit
  }
}

async function dispatch(words: readonly string[], outside: Outside): Promise<number> {
  const [first, ...rest] = words
  if (first === undefined || (HELP.has(first) && rest.every((word) => word.startsWith('-')))) {
    outside.out(overview(await allCommands(), version()))
    return first === undefined ? 2 : 0
  }
  if (first === 'help') return dispatch([...rest, '--help'], outside)
  if (words[0] === '--version') {
    outside.out(`${version()}\n`)
    return 0
  }
  const found = find(words)
  if (!found) {
    const group = words.some((word) => HELP.has(word)) ? await groupOf(words) : []
    if (group.length === 0) throw unknownCommand(words)
    outside.out(overview(group, version()))
    return 0
  }
  const command = await (COMMANDS[found.name] as (typeof COMMANDS)[string])()
  const args = parse(command, found.rest)
  if (args.flag('help')) {
    outside.out(commandHelp(command))
    return 0
  }
  const quiet = args.flag('quiet')
  const io: Io = {
    ...outside,
    out: (text) => outside.out(text.endsWith('\n') ? text : `${text}\n`),
    json: args.flag('json'),
    quiet,
    progress: (text) => {
      if (!quiet) outside.err(text)
    },
    note: (text) => {
      if (!quiet) outside.err(text.endsWith('\n') ? text : `${text}\n`)
    },
  }
  const outcome = await command.run(args, io)
  if (io.json) {
    if (outcome.json !== undefined) outside.out(`${JSON.stringify(outcome.json)}\n`)
  } else if (outcome.text !== '') outside.out(outcome.text.endsWith('\n') ? outcome.text : `${outcome.text}\n`)
  return outcome.exit
}

const HELP: ReadonlySet<string> = new Set(['--help', '-h', 'help'])

/** The commands that begin with the words given, as `keys` and `keys callers` do for several. */
async function groupOf(words: readonly string[]): Promise<Command[]> {
  const named = words.filter((word) => !HELP.has(word)).join(' ')
  return Promise.all(Object.entries(COMMANDS).flatMap(([name, load]) => (name.startsWith(`${named} `) ? [load()] : [])))
}

function unknownCommand(words: readonly string[]): PseudolakeError {
  const named = words.filter((word) => !word.startsWith('-'))
  const names = Object.keys(COMMANDS)
  const near = nearest(named.slice(0, 2).join(' '), names) ?? nearest(named[0] ?? '', names)
  const group = names.filter((name) => name.startsWith(`${named[0]} `))
  const hint =
    group.length > 0 ? `; there are ${group.join(', ')}` : near === undefined ? '' : `; did you mean ${near}?`
  return new PseudolakeError('options/invalid', `no such command${hint}`, {
    hint: '`pseudolake --help` lists the commands.',
  })
}
