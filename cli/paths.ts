import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

/** A path as the user wrote it, made absolute; a location with a scheme stays as it is. */
export function absolute(cwd: string, given: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given))
    return given.startsWith('file:') ? decodeURI(given.replace(/^file:\/*/, '/')) : given
  return resolve(cwd, given)
}

/** The path with its links followed, as far as it is there. */
export async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    return dirname(path) === path ? path : join(await realPath(dirname(path)), basename(path))
  }
}
