import { resolve } from 'node:path'

/** A path as the user wrote it, made absolute; a location with a scheme stays as it is. */
export function absolute(cwd: string, given: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given))
    return given.startsWith('file:') ? decodeURI(given.replace(/^file:\/*/, '/')) : given
  return resolve(cwd, given)
}
