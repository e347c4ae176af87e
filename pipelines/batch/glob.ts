import { createRequire } from 'node:module'

/** Whether a text matches a glob (`*`, `**`, `?`, `[…]`, `{a,b}`). picomatch is loaded where there is one: most inputs are a folder. */
export function globMatcher(glob: string): (text: string) => boolean {
  const picomatch = createRequire(import.meta.url)('picomatch') as typeof import('picomatch')
  return picomatch(glob, { dot: true })
}
