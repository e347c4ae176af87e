/**
 * What the gate costs: CPU of whole commands with it and without it, in turn; its shares by the least, by the medians, and pair by pair.
 *
 *   node benchmarks/gate.ts INPUT.parquet COLUMN KEYRING [REPEATS]
 *
 * The product has no switch to turn the gate off: two packages are built out of copies of the sources, and one of them has an empty class in
 * its place, so that not even the gate's modules are loaded.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { machine, measured, round, spread } from './lib/measure.ts'

const [input = '', column = 'vin', keyring = '', repeats = '5'] = process.argv.slice(2)

const NOTHING = `export class Gate {
  held = { has: () => false, while: (objects, work) => work(), over: (storage) => storage }
  provenance() { return undefined }
  handed() { return undefined }
  async rowGroup() {}
  async file() {}
  async assembled() {}
  async step() {}
  report() { return { passed: true, checks: [] } }
}
`
/** What a package is built of. */
const SOURCES = [
  'bin',
  'cli',
  'datagen',
  'lib',
  'pipelines',
  'producer',
  'scripts',
  'service',
  'index.ts',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
]

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-gate-'))
try {
  const seconds: Record<'on' | 'off', number[]> = { on: [], off: [] }
  for (const which of ['on', 'off'] as const) {
    build(which)
    // Fills the compile cache.
    run(which)
  }
  const pairs: number[] = []
  for (let i = 0; i < Number(repeats); i++) {
    // Each is the first of its pair as often as the other.
    for (const which of i % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const))
      seconds[which].push(run(which))
    const [on = 0, off = 0] = [seconds.on.at(-1), seconds.off.at(-1)]
    pairs.push((on - off) / on)
  }
  const [on, off] = [spread(seconds.on), spread(seconds.off)]
  const percent = (share: number) => `${round(share * 100, 1)} %`
  const shares = {
    least: percent((on.least - off.least) / on.least),
    median: percent((on.median - off.median) / on.median),
    pairs_median: percent(spread(pairs).median),
    pairs_mean: percent(pairs.reduce((sum, share) => sum + share, 0) / pairs.length),
  }
  process.stdout.write(`${JSON.stringify({ ...machine(), cpu_seconds: { on, off }, gate_share: shares }, null, 2)}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

function build(which: 'on' | 'off'): void {
  const to = join(dir, which)
  const root = join(import.meta.dirname, '..')
  for (const name of SOURCES) cpSync(join(root, name), join(to, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'))
  if (which === 'off') writeFileSync(join(to, 'pipelines/batch/gate/gate.ts'), NOTHING)
  for (const script of ['bundle.js', 'wasm.js']) {
    const { status, stderr } = spawnSync(process.execPath, [join('scripts', script), 'dist'], {
      cwd: to,
      encoding: 'utf8',
      env: withTools(),
    })
    if (status !== 0) throw new Error(stderr)
  }
}

function withTools(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(import.meta.dirname, '../node_modules/.bin')}:${process.env.PATH}` }
}

function run(which: 'on' | 'off'): number {
  const warehouse = join(dir, 'warehouse')
  const config = join(dir, 'job.json')
  writeFileSync(
    config,
    JSON.stringify({
      job: 'gate',
      input: { path: resolve(input) },
      columns: { [column]: { mode: 'deterministic' } },
      service: { embedded: { keyring: resolve(keyring) } },
      output: { table: 'bench.gate', warehouse },
    }),
  )
  const { stdout, cpuSeconds } = measured({
    words: [process.execPath, join(dir, which, 'bin/pseudolake.js'), 'batch', '--config', config, '--json', '--quiet'],
  })
  const report = JSON.parse(stdout)
  if (report.status !== 'done') throw new Error(report.status)
  const looked = report.gate.checks.length > 0
  if (looked !== (which === 'on')) throw new Error(`the gate is ${looked ? 'there' : 'missing'}`)
  rmSync(warehouse, { recursive: true })
  return cpuSeconds
}
