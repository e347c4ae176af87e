/** What a command loads: a package that a run has no use for is paid for at each start (docs/evidence.md, Start-up). */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { lake } from '../helpers/lake.ts'

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'pseudolake.js')

/** Prints the package of every module that is loaded, by import or by require. */
const TRACE = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from 'node:module'
const packages = new Set()
registerHooks({ load(url, context, next) {
  packages.add(/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1] ?? url.replace(/:.*/, ''))
  return next(url, context)
} })
process.on('exit', () => process.stderr.write('LOADED ' + JSON.stringify([...packages])))
`)}`

async function loadedBy(args: readonly string[], cwd: string): Promise<string[]> {
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', TRACE, BIN, ...args], { cwd })
  return JSON.parse(stderr.split('LOADED ')[1] as string)
}

/** Whatever is loaded beside Node's own modules and ours. */
const packages = (loaded: readonly string[]) => loaded.filter((name) => name !== 'node' && name !== 'file').sort()

test('a run loads the packages it has use for, and no other', async () => {
  const { dir, sql } = await lake()
  mkdirSync(join(dir, 'in'))
  await sql(`copy (select 'VIN' || (i % 40) as vin, i as n from range(1000) r(i)) to '{dir}/in/a.parquet'`)
  const config = {
    job: 'start',
    input: { path: 'in' },
    columns: { vin: { mode: 'deterministic' } },
    service: { embedded: { keyring: 'keys.json' } },
    output: { table: 'db.t', warehouse: 'warehouse' },
  }
  writeFileSync(join(dir, 'job.json'), JSON.stringify(config))
  const published = packages(await loadedBy(['batch', '--config', 'job.json', '--quiet'], dir))
  for (const unused of [
    '@noble/ciphers',
    '@noble/hashes',
    'yaml',
    'undici',
    'picomatch',
    'fzstd',
    'hysnappy',
    '@observablehq/plot',
    'linkedom',
    '@duckdb/node-api',
  ])
    expect(published).not.toContain(unused)
  expect(published).toContain('avsc')

  writeFileSync(join(dir, 'job.yaml'), `# YAML\n${JSON.stringify(config)}`)
  expect(packages(await loadedBy(['batch', '--config', 'job.yaml', '--quiet'], dir))).toContain('yaml')
})

test('what asks a service over HTTP has no use for a cipher', async () => {
  const { dir } = await lake()
  mkdirSync(join(dir, 'in'))
  writeFileSync(
    join(dir, 'job.json'),
    JSON.stringify({
      job: 'start',
      input: { path: 'in' },
      columns: { vin: { mode: 'deterministic' } },
      service: { url: 'http://127.0.0.1:9/pseudonymization' },
      output: { table: 'db.t', warehouse: 'warehouse' },
    }),
  )
  const said: { stderr: string } = await promisify(execFile)(
    process.execPath,
    ['--import', TRACE, BIN, 'batch', '--config', 'job.json', '--quiet'],
    { cwd: dir },
  ).catch((error) => error)
  expect(said.stderr).toContain('input/not-found')
  const loaded = JSON.parse(said.stderr.split('LOADED ')[1] as string)
  expect(packages(loaded).filter((name) => name.startsWith('@noble'))).toEqual([])
})
