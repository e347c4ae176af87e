import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PseudolakeError } from '../lib/core/errors.ts'

/** A location as the user wrote it: a path made absolute, a file URL as the path it means, another scheme as it is. */
export function absolute(cwd: string, given: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) return resolve(cwd, given)
  if (!given.startsWith('file:')) return given
  try {
    return fileURLToPath(given)
  } catch {
    throw new PseudolakeError('options/invalid', `${given}: expected file:///PATH, with % written as %25`)
  }
}

/** The path with its links followed, as far as it is there; a location with a scheme as it is. */
export async function realPath(path: string): Promise<string> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) return path
  try {
    return await realpath(path)
  } catch {
    return dirname(path) === path ? path : join(await realPath(dirname(path)), basename(path))
  }
}
