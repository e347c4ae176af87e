/**
 * What gate, ledger and list of finished files cost: CPU of whole commands with them and without, in turn; shares by the least, by the medians, and
 * pair by pair.
 *
 *   node benchmarks/gate.ts INPUT.parquet COLUMN KEYRING [REPEATS]
 *
 * The product has no switch to turn them off: packages are built out of copies of the sources, of which one has an empty class in the gate's place, so
 * that not even the gate's modules are loaded, and one writes neither ledger nor list either.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
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

/** Where what is written beside the table comes to an end at once: file, the line behind which, and what ends it. */
const UNWRITTEN = [
  ['pipelines/ledger-file.ts', '): Promise<LedgerRef> {', `return { location, sha256: ''.padEnd(64, '0') }`],
  ['pipelines/batch/unpublished.ts', 'async begin(table: string): Promise<void> {', 'return'],
  ['pipelines/batch/unpublished.ts', '{ rows, files }: Finished): Promise<void> {', 'return'],
] as const

const VARIANTS = ['whole', 'gateless', 'bare'] as const
type Variant = (typeof VARIANTS)[number]

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-gate-'))
try {
  const seconds: Record<Variant, number[]> = { whole: [], gateless: [], bare: [] }
  for (const variant of VARIANTS) {
    build(variant)
    // Fills the compile cache.
    run(variant)
  }
  for (let i = 0; i < Number(repeats); i++) {
    // Each is the first of its round as often as the last.
    for (const variant of i % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) seconds[variant].push(run(variant))
  }
  const shares = { gate: sharesOf(seconds, 'gateless'), gate_ledger_and_list: sharesOf(seconds, 'bare') }
  const spreads = Object.fromEntries(VARIANTS.map((variant) => [variant, spread(seconds[variant])]))
  process.stdout.write(`${JSON.stringify({ ...machine(), cpu_seconds: spreads, shares }, null, 2)}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

/** Of the whole run's CPU, what a run is spared without them. */
function sharesOf(seconds: Readonly<Record<Variant, readonly number[]>>, without: Variant) {
  const pairs = seconds.whole.map((on, i) => (on - (seconds[without][i] as number)) / on)
  const [on, off] = [spread(seconds.whole), spread(seconds[without])]
  const percent = (share: number) => `${round(share * 100, 1)} %`
  return {
    least: percent((on.least - off.least) / on.least),
    median: percent((on.median - off.median) / on.median),
    pairs_median: percent(spread(pairs).median),
    pairs_mean: percent(pairs.reduce((sum, share) => sum + share, 0) / pairs.length),
  }
}

function build(variant: Variant): void {
  const to = join(dir, variant)
  const root = join(import.meta.dirname, '..')
  for (const name of SOURCES) cpSync(join(root, name), join(to, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'))
  if (variant !== 'whole') writeFileSync(join(to, 'pipelines/batch/gate/gate.ts'), NOTHING)
  for (const [name, line, end] of variant === 'bare' ? UNWRITTEN : []) {
    const source = readFileSync(join(to, name), 'utf8')
    if (source.split(line).length !== 2) throw new Error(`${name} has no such line, or several`)
    writeFileSync(join(to, name), source.replace(line, `${line}\n${end}\n`))
  }
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

function run(variant: Variant): number {
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
    words: [
      process.execPath,
      join(dir, variant, 'bin/pseudolake.js'),
      'batch',
      '--config',
      config,
      '--json',
      '--quiet',
    ],
  })
  const report = JSON.parse(stdout)
  if (report.status !== 'done') throw new Error(report.status)
  const looked = report.gate.checks.length > 0
  if (looked !== (variant === 'whole')) throw new Error(`the gate is ${looked ? 'there' : 'missing'}`)
  rmSync(warehouse, { recursive: true })
  return cpuSeconds
}
