/** What a user gets: the tarball of `npm pack`, installed in an empty folder, without this checkout in reach. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const NODE = process.execPath
const TSC = join(root, 'node_modules', '.bin', 'tsc')
const SHIPPED = ['bin', 'cli', 'datagen', 'lib', 'pipelines', 'producer', 'service', 'index.ts', 'LICENSE', 'README.md']
const CONFIG = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts']

const exec = promisify(execFile)
let folder: string
let user: string
let packed: { filename: string; files: { path: string; mode: number }[] } | undefined
/** Why the tarball could not be installed, where it is not its fault. */
let offline: string | undefined
let exported: string[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pseudolake-pack-'))
  user = join(folder, 'user')
  // A copy, so that the build of the test neither uses nor leaves a dist in the checkout.
  const source = join(folder, 'source')
  await mkdir(source)
  for (const name of [...SHIPPED, ...CONFIG])
    await cp(join(root, name), join(source, name), { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  const { stdout } = await run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], source)
  packed = JSON.parse(stdout.slice(stdout.indexOf('[')))[0]

  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  exported = Object.keys(exports).filter((key) => !key.endsWith('.json'))

  await mkdir(user)
  await writeFile(join(user, 'package.json'), '{"private":true,"type":"module"}')
  const tarball = join(folder, packed?.filename ?? '')
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  try {
    await run('npm', ['install', ...flags, tarball], user)
  } catch (error) {
    const code = /\b(ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/.exec(
      String(error),
    )
    if (!code) throw error
    offline = `the dependencies can't be had without a network (${code[1]})`
  }
}, 240_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

test('the tarball holds the built package and nothing else', () => {
  const paths = packed?.files.map(({ path }) => path) ?? []
  expect(paths).toContain('dist/cli/main.js')
  expect(paths).toContain('dist/lib/core/wasm/texts.wasm')
  expect(paths).toContain('dist/lib/crypto/wasm/kernel.wasm')
  expect(paths).toContain('dist/lib/crypto/cache/wasm/cache.wasm')
  expect(paths).toContain('dist/lib/parquet/wasm/pages.wasm')
  expect(paths).toContain('dist/pipelines/batch/gate/wasm/judge.wasm')
  expect(paths.filter((path) => path.includes('assembly'))).toEqual([])
  expect(
    paths.filter((path) => !/^(bin\/pseudolake\.js|dist\/.+|package\.json|README\.md|LICENSE)$/.test(path)),
  ).toEqual([])
  expect(paths.filter((path) => /(?<!\.d)\.ts$/.test(path))).toEqual([])
  expect(packed?.files.find(({ path }) => path === 'bin/pseudolake.js')?.mode).toBe(0o755)
})

test('the command runs from the tarball: version, and the whole of the demo', { timeout: 120_000 }, async (context) => {
  needsInstall(context)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const command = join(user, 'node_modules', '.bin', 'pseudolake')
  expect((await run(command, ['--version'], user)).stdout.trim()).toBe(version)
  const demo = await run(command, ['demo', '--rows', '1000', '--dir', join(user, 'demo'), '--json'], user)
  expect(JSON.parse(demo.stdout)).toBeTypeOf('object')
  // The kernel that was compiled into the package serves.
  expect(demo.stderr).not.toContain('portable cipher')
})

test('a thread of a run starts from the tarball', { timeout: 60_000 }, async (context) => {
  needsInstall(context)
  const entry = join(user, 'node_modules', 'pseudolake', 'dist', 'pipelines', 'batch', 'threads', 'worker.js')
  const script = `const { Worker } = require('node:worker_threads')
    const worker = new Worker(${JSON.stringify(entry)}, { workerData: { seed: 1, share: 1 } })
    worker.on('message', ({ type, error }) => { console.log(type, error.code); worker.terminate() })
    worker.postMessage({ type: 'step', step: { job: { input: '/no/such', state: '/x', settings: { input: {}, output: {}, limits: { memory_mb: 512, max_identifiers: 900 },
      gate: { full: false, max_match_ratio: 0.01, reidentify: false } }, columns: [] } } })
    worker.postMessage({ type: 'file', id: 1, input: { object: { location: '/no/such/file', bytes: 9000, version: 'v' } }, output: '/x' })`
  expect((await run(NODE, ['-e', script], user)).stdout.trim()).toBe('failed storage/not-found')
})

test('every export can be imported, and has something in it', async (context) => {
  needsInstall(context)
  const names = exported.map((key) => `pseudolake${key.slice(1)}`)
  const script = `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(await import(name)).length > 0)`
  const { stdout } = await run(NODE, ['--input-type=module', '-e', script], user)
  expect(stdout.trim().split('\n')).toEqual(names.map((name) => `${name} true`))
})

test('the types of every export stand on their own', { timeout: 60_000 }, async (context) => {
  needsInstall(context)
  const lines = exported.map(
    (key, i) => `import * as e${i} from 'pseudolake${key.slice(1)}'\nexport const k${i}: object = e${i}`,
  )
  await writeFile(join(user, 'use.ts'), `${lines.join('\n')}\n`)
  const types = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node']
  const settings = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024', ...types]
  const { stdout } = await run(TSC, [...settings, 'use.ts'], user).catch((error) => error)
  expect(stdout).toBe('')
})

test('worker threads start from the built files too', { timeout: 60_000 }, async (context) => {
  needsInstall(context)
  const script = `
    import { createKeyring, embeddedService, kernelThreads, openKeyringFile, saveKeyring } from 'pseudolake/service'
    import { randomBytes } from 'node:crypto'
    await saveKeyring('threads.json', createKeyring({ domains: ['d'], randomBytes, now: Date.now() }), randomBytes)
    const said = []
    const threads = kernelThreads({ threads: 2, startAfter: 0, say: (reason) => said.push(reason) })
    const keyring = await openKeyringFile('threads.json', { threads })
    const values = Array.from({ length: 9000 }, (_, i) => 'VIN' + i)
    const request = { direction: 'pseudonymize', domain: 'd', deterministic: true, values }
    const there = await embeddedService(keyring, undefined, threads)(request)
    const here = await embeddedService(keyring)(request)
    console.log(threads.running, said.join(), there.values.join() === here.values.join())
    keyring.dispose()
    await threads.close()`
  const { stdout } = await run(NODE, ['--input-type=module', '-e', script], user)
  expect(stdout.trim()).toBe('1  true')
})

function needsInstall(context: TestContext): void {
  if (offline !== undefined) context.skip(offline)
}

/** The Node of the tests first on the PATH, and no npm settings of the run that started them. */
async function run(command: string, args: string[], cwd: string) {
  const env: NodeJS.ProcessEnv = { PATH: [dirname(NODE), process.env.PATH].join(delimiter) }
  for (const [name, value] of Object.entries(process.env))
    if (
      name !== 'PATH' &&
      !/^(npm_(?!config_(registry|cache|userconfig|globalconfig)$)|NODE_OPTIONS|VITEST|INIT_CWD)/i.test(name)
    )
      env[name] = value
  return exec(command, args, { cwd, env, timeout: 200_000, maxBuffer: 64 << 20 })
}
