import type { Echo } from './pseudonymizer.ts'

/** The echoes of several answers as one. */
export function echoOf(answers: readonly Echo[]): Echo {
  const keys = [...new Set(answers.flatMap((answer) => answer.keys ?? []))]
  const domain = answers.find((answer) => answer.domain !== undefined)?.domain
  return { ...(domain !== undefined && { domain }), ...(keys.length > 0 && { keys }) }
}
