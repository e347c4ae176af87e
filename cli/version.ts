import { readFileSync } from 'node:fs'

/** The package's version, from the package.json above this file: one level up in a checkout, two in the built package. */
export function version(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as {
        name?: string
        version?: string
      }
      if (found.name === 'pseudolake' && found.version) return found.version
    } catch {
      // Not there: the other one is.
    }
  }
  return '0.0.0'
}
