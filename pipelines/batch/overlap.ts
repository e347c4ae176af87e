/** Whether a run could read what it writes. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { globMatcher } from './glob.ts'

export interface Places {
  /** File, folder or glob. */
  readonly input: string
  /** The table's folder; undefined where only the catalog knows it. */
  readonly output: string | undefined
  /** The ledgers' folder. */
  readonly state: string
}

/** @param plain ledgers may be in a hidden part of the output @throws PseudolakeError `config/overlap` */
export function requireApart({ input, output, state }: Places, plain = false): void {
  if (output !== undefined) {
    if (inside(output, fixedPart(input)) || couldReach(input, output))
      throw overlap('input.path and the table’s location lie inside each other', input, output)
    if (inside(output, state) && !(plain && hiddenBelow(output, state)))
      throw overlap('output.state lies inside the table’s location', state, output)
  }
  if (couldReach(input, state) && !hiddenBelow(fixedPart(input), state))
    throw overlap('output.state lies inside input.path', input, state)
}

/** The folder above the first wildcard of a glob, with its slash; a path without wildcards as it is. */
export function fixedPart(path: string): string {
  const wildcard = path.search(/[*?[{]/)
  return wildcard < 0 ? path : path.slice(0, path.lastIndexOf('/', wildcard) + 1)
}

/** Whether a path could stand for something at or below `folder`. A wildcard that can cross folders is taken to reach all. */
function couldReach(path: string, folder: string): boolean {
  const base = fixedPart(path)
  if (!inside(base, folder)) return false
  if (base === path || path.includes('**') || /[({][^)}]*\//.test(path)) return true
  const words = path.split('/')
  const folders = trimmed(folder).split('/')
  return (
    words.length > folders.length &&
    folders.every((name, i) => words[i] === name || globMatcher(words[i] as string)(name))
  )
}

function hiddenBelow(root: string, path: string): boolean {
  return trimmed(path)
    .slice(trimmed(root).length)
    .split('/')
    .some((name) => /^[_.]/.test(name))
}

/** Whether `path` is `folder` or below it. */
function inside(folder: string, path: string): boolean {
  return `${path}/`.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

/** Without the slash at its end; the root keeps its own. */
export function trimmed(path: string): string {
  return path.replace(/(?<=[^/])\/+$/, '')
}

function overlap(what: string, one: string, other: string): PseudolakeError {
  return new PseudolakeError('config/overlap', `${what}: ${one} and ${other}`, { input: one, output: other })
}
