/** What a command loads: a package that a run has no use for is paid for at each start (docs/evidence.md, Start-up). */
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { KEYS } from '../helpers/aws.ts'
import { lake } from '../helpers/lake.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'

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

async function loadedBy(args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<string[]> {
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', TRACE, BIN, ...args], {
    cwd,
    env: { ...process.env, ...env },
  })
  return JSON.parse(stderr.split('LOADED ')[1] as string)
}

/** Whatever is loaded beside Node's own modules and ours. */
const packages = (loaded: readonly string[]) => loaded.filter((name) => name !== 'node' && name !== 'file').sort()

/** Packages of AWS's SDK, and what it stands on. */
const sdk = (loaded: readonly string[]) => loaded.filter((name) => /^@(?:aws-sdk|aws|aws-crypto|smithy)\//.test(name))

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
  expect(sdk(published)).toEqual([])

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

test('tables and queries on a disk have no use for AWS, and a bucket only for what is asked there', async () => {
  const { dir, sql } = await lake()
  mkdirSync(join(dir, 'in'))
  await sql(`copy (select 'VIN' || (i % 40) as vin, i as n from range(1000) r(i)) to '{dir}/in/a.parquet'`)
  writeFileSync(
    join(dir, 'job.json'),
    JSON.stringify({
      job: 'start',
      input: { path: 'in' },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'keys.json' } },
      output: { table: 'db.t', warehouse: 'warehouse' },
      aws: { region: 'eu-west-1', role_arn: 'arn:aws:iam::111111111111:role/unused' },
    }),
  )
  for (const args of [
    ['batch', '--config', 'job.json', '--quiet'],
    ['batch', '--config', 'job.json', '--plan'],
    ['table', 'show', 'warehouse/db/t'],
    ['table', 'verify', 'warehouse/db/t'],
    ['query', 'select 1', '--table', 't=warehouse/db/t'],
    ['config', 'check', 'job.json'],
  ])
    expect(sdk(await loadedBy(args, dir)), args.join(' ')).toEqual([])

  const store = await fakeS3(['lake'])
  onTestFinished(() => store.close())
  const env = { ...KEYS, AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL: store.endpoint }
  const inBucket = await loadedBy(['batch', '--config', 'job.json', '--set', 'output.warehouse=s3://lake/w'], dir, {
    ...env,
    PSEUDOLAKE_SET_AWS: '{}',
  })
  expect(inBucket).toContain('@aws-sdk/client-s3')
  for (const unused of [
    'client-glue',
    'client-secrets-manager',
    'client-lambda',
    'client-kinesis',
    'credential-providers',
  ])
    expect(inBucket).not.toContain(`@aws-sdk/${unused}`)
}, 60_000)

test('what one start has compiled the next one takes as it is', async () => {
  const { dir, sql } = await lake()
  mkdirSync(join(dir, 'in'))
  mkdirSync(join(dir, 'tmp'))
  await sql(`copy (select 'VIN' || (i % 40) as vin, i as n from range(1000) r(i)) to '{dir}/in/a.parquet'`)
  writeFileSync(
    join(dir, 'job.json'),
    JSON.stringify({
      job: 'start',
      input: { path: 'in' },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'keys.json' } },
      output: { table: 'db.t', warehouse: 'warehouse' },
    }),
  )
  const { NODE_COMPILE_CACHE: _, ...env } = process.env
  const said = async () => {
    rmSync(join(dir, 'warehouse'), { recursive: true, force: true })
    const { stderr } = await promisify(execFile)(process.execPath, [BIN, 'batch', '--config', 'job.json', '--quiet'], {
      cwd: dir,
      env: { ...env, TMPDIR: join(dir, 'tmp'), NODE_DEBUG_NATIVE: 'COMPILE_CACHE' },
      maxBuffer: 64 << 20,
    })
    const count = (text: string) => stderr.split(text).length - 1
    return { accepted: count(' was accepted'), refused: count(' was rejected'), written: count('writing cache for') }
  }
  const first = await said()
  expect(first.accepted).toBe(0)
  expect(first.written).toBeGreaterThan(100)
  const { accepted, ...second } = await said()
  expect(accepted).toBeGreaterThan(100)
  expect(second).toEqual({ refused: 0, written: 0 })
}, 60_000)
