/** Writes the pages that are made from tables in the code: docs/errors.md and docs/cli.md. A test fails when they are stale. */
import { writeFileSync } from 'node:fs'
import { commandHelp } from '../cli/help.ts'
import { allCommands } from '../cli/registry.ts'
import { ERRORS } from '../lib/core/errors.ts'

export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { exit, retryable, who, cause, fix }]) =>
      `| \`${code}\` | ${exit} | ${retryable ? 'yes' : 'no'} | ${who} | ${cause} | ${fix.replaceAll('|', '\\|')} |`,
  )
  return `# Errors

Every failure has one of these codes: on stderr as \`error CODE: …\`, under \`--json\` as \`error.code\`. Match on the code; messages may change.
Messages name the place, the type and the length of what went wrong, never a value.

Exit status: 0 done · 1 ended, and something needs a look · 2 cannot run as it is, do not retry · 3 failed on the way, committed steps
stand, safe to run again · 130, 143 interrupted, resumable. "Retried" says whether the very call that failed is tried again by itself.

| code | exit | retried | who acts | cause | what to do |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}

export async function cliPage(): Promise<string> {
  const commands = await allCommands()
  const parts = commands.map((command) => `## pseudolake ${command.name}\n\n\`\`\`\n${commandHelp(command)}\`\`\`\n`)
  return `# Command line

Made from the table that the parser uses. \`--json\` prints one JSON document on stdout and nothing else there, on failure too;
progress goes to stderr. Exit statuses and codes: [errors.md](errors.md).

${parts.join('\n')}`
}

if (import.meta.main) {
  writeFileSync('docs/errors.md', errorsPage())
  writeFileSync('docs/cli.md', await cliPage())
}
