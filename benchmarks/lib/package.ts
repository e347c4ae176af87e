/** The program as users have it: what `npm pack` ships, and what it depends on. A checkout has other files to load at each start. */
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { measured } from './measure.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** Builds the package out of this checkout. @returns its command, in `folder` */
export function builtPackage(folder: string): string {
  measured({ words: ['npm', 'run', '--silent', '--prefix', ROOT, 'build'] })
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const name of ['bin', 'dist', 'package.json']) cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'bin/pseudolake.js')
}
