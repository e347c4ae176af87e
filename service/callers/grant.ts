import { PseudolakeError } from '../../lib/core/errors.ts'
import { type CallerEntry, parseEntries, writeCallers } from './file.ts'

export interface Grant {
  /** Of a caller that is in the file. */
  readonly name: string
  /** What the way back may be asked for, one at least. */
  readonly purposes: readonly string[]
  /** When the caller ends; RFC 3339 or a day. */
  readonly until: string
  /** @default those that the caller has */
  readonly domains?: readonly string[]
}

/**
 * A file of callers in which one may go back, for purposes that are named and until a time. The caller ends then altogether: give the
 * way back a key of its own where the way forward is to go on.
 * @returns the file's new text, in the strict form
 * @throws PseudolakeError `config/invalid`; also where the file is of the older form and another caller goes back without an end
 */
export function grantReidentify(text: string, { name, purposes, until, domains }: Grant): string {
  const { entries } = parseEntries(text)
  if (!entries.some((entry) => entry.name === name))
    throw new PseudolakeError('config/invalid', 'api keys: there is no caller of the name that was given')
  const granted = entries.map((entry): CallerEntry => {
    if (entry.name !== name) return entry
    const permissions = [...new Set([...entry.permissions, 'reidentify' as const])]
    return { ...entry, permissions, ...(domains && { domains }), purposes, until }
  })
  return writeCallers(granted)
}
