import type { Clock } from '../lib/core/clock.ts'

/** One command as data: the parser, `--help` and docs/cli.md are made from it, so they can't disagree. */
export interface Command {
  /** Words that call it: `batch`, `keys create`. */
  readonly name: string
  readonly summary: string
  /** Arguments without a flag, as shown in the usage line: `SQL`, `[SIZE_MB]`. */
  readonly positionals?: readonly Positional[]
  readonly options: Readonly<Record<string, Option>>
  /** Whole command lines, each with what it does. */
  readonly examples: readonly (readonly [command: string, does: string])[]
  /** Does the work. Throws PseudolakeError for what the caller can act on. Never exits, never writes to the process's own streams. */
  run(args: Arguments, io: Io): Promise<Outcome>
}

export interface Positional {
  readonly name: string
  readonly required: boolean
  readonly summary: string
}

export interface Option {
  readonly type: 'string' | 'integer' | 'number' | 'boolean'
  /** Shown in help in place of the value: `F`, `N`. */
  readonly value?: string
  readonly summary: string
  /** May be given more than once; the values come as an array. */
  readonly multiple?: boolean
  readonly required?: boolean
  readonly choices?: readonly string[]
  /** Shown in help; the command applies it. */
  readonly default?: string
}

/** Parsed and checked against the table: a `number` option is a number here. */
export interface Arguments {
  readonly positionals: readonly string[]
  string(name: string): string | undefined
  strings(name: string): readonly string[]
  number(name: string): number | undefined
  flag(name: string): boolean
}

/** Everything of the outside that a command may touch; handed in by main.ts, or by a test. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where relative paths start. */
  readonly cwd: string
  readonly json: boolean
  readonly quiet: boolean
  readonly clock: Clock
  readonly random: () => number
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
  /** Calls the listener at each SIGHUP, until what it returns is called; missing where there is no such signal. */
  readonly hangups?: (listener: () => void) => () => void
  /** A line (or more) on stdout at once: for commands whose output is a stream. Others return it. */
  out(text: string): void
  /** A line on stderr, unless `--quiet`. */
  note(text: string): void
  /** Whether stderr is a terminal, where a bar can be drawn. */
  readonly tty: boolean
  /** Text on stderr as it is, without a newline of its own, unless `--quiet`. */
  progress(text: string): void
  /** Standard input, whole lines. */
  lines(): AsyncIterable<string>
}

export interface Outcome {
  /** 0 done, 1 ended and something needs a look. Failures are thrown. */
  readonly exit: 0 | 1
  /** The one document of `--json`. */
  readonly json: unknown
  /** What a person reads on stdout. */
  readonly text: string
}
