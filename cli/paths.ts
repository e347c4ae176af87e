import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PseudolakeError } from '../lib/core/errors.ts'

/**
 * A location as the user wrote it: a path made absolute, a file URL as the path it means, another scheme as it is.
 * @throws PseudolakeError `options/invalid` for a table of a catalog that this version does not know
 */
export function absolute(cwd: string, given: string): string {
  if (/^(?:glue|rest):/.test(given))
    throw new PseudolakeError(
      'options/invalid',
      `${given}: tables of a ${given.split(':')[0]} catalog are not supported by this version`,
      {
        hint: 'Give the table’s folder, or one of its metadata files.',
      },
    )
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) return resolve(cwd, given)
  if (!given.startsWith('file:')) return given
  try {
    return fileURLToPath(given)
  } catch {
    throw new PseudolakeError('options/invalid', `${given}: expected file:///PATH, with % written as %25`)
  }
}

/** The path with its links followed, as far as it is there. */
export async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    return dirname(path) === path ? path : join(await realPath(dirname(path)), basename(path))
  }
}
