import type { Command, Option } from './command.ts'
import { COMMON } from './parse.ts'

/** `pseudolake COMMAND --help`. Pure. */
export function commandHelp(command: Command): string {
  const positionals = command.positionals ?? []
  const options = { ...command.options, ...COMMON }
  const lines = [
    `${command.summary.replace(/\.$/, '')}.`,
    '',
    `Usage: pseudolake ${[command.name, ...positionals.map((p) => (p.required ? p.name : `[${p.name}]`)), '[options]'].join(' ')}`,
    '',
  ]
  if (positionals.length > 0) lines.push(...rows(positionals.map((p) => [p.name, p.summary])), '')
  lines.push(
    'Options:',
    ...rows(Object.entries(options).map(([name, option]) => [flag(name, option), described(option)])),
    '',
  )
  lines.push('Examples:')
  for (const [line, does] of command.examples) lines.push(`  ${line}`, `      ${does}`)
  return `${lines.join('\n')}\n`
}

/** `pseudolake --help`. Pure. */
export function overview(commands: readonly Command[], version: string): string {
  return `${[
    `pseudolake ${version}: pseudonymized Iceberg tables out of your data lake.`,
    '',
    'Usage: pseudolake COMMAND [options]      pseudolake COMMAND --help',
    '',
    'Commands:',
    ...rows(commands.map((command) => [command.name, command.summary.replace(/\.$/, '')])),
    '',
    'Exit status: 0 done · 1 ended, and something needs a look · 2 cannot run as it is · 3 failed on the way, safe to run again',
    'Start here:  pseudolake demo',
  ].join('\n')}\n`
}

function flag(name: string, option: Option): string {
  return `${name === 'help' ? '-h, ' : ''}--${name}${option.type === 'boolean' ? '' : ` ${option.value ?? 'VALUE'}`}${option.multiple ? ' …' : ''}`
}

function described(option: Option): string {
  const notes = [
    option.required ? 'required' : undefined,
    option.choices ? option.choices.join('|') : undefined,
    option.default === undefined ? undefined : `default ${option.default}`,
  ].filter((note) => note !== undefined)
  return notes.length === 0 ? option.summary : `${option.summary} (${notes.join('; ')})`
}

function rows(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...pairs.map(([left]) => left.length))
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
