/**
 * What the gate costs: CPU of whole commands with it and without it, in turn; the shares are those of the least and of the medians.
 *
 *   node benchmarks/gate.ts INPUT.parquet COLUMN KEYRING [REPEATS]
 *
 * The product has no switch to turn the gate off: the command is run out of two copies of the sources, and one of them has an empty class in
 * its place, so that not even the gate's modules are loaded.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { machine, measured, round, spread } from './lib/measure.ts'

const [input = '', column = 'vin', keyring = '', repeats = '5'] = process.argv.slice(2)

const NOTHING = `export class Gate {
  held = { has: () => false, while: (objects, work) => work(), over: (storage) => storage }
  provenance() { return undefined }
  handed() { return undefined }
  async file() {}
  async assembled() {}
  async step() {}
  report() { return { passed: true, checks: [] } }
}
`
const SOURCES = ['bin', 'cli', 'datagen', 'lib', 'pipelines', 'service', 'package.json']

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-gate-'))
try {
  const seconds: Record<'on' | 'off', number[]> = { on: [], off: [] }
  for (const which of ['on', 'off'] as const) {
    copySources(join(dir, which))
    if (which === 'off') writeFileSync(join(dir, which, 'pipelines/batch/gate/gate.ts'), NOTHING)
    // Fills the compile cache.
    run(which)
  }
  for (let i = 0; i < Number(repeats); i++) for (const which of ['on', 'off'] as const) seconds[which].push(run(which))
  const [on, off] = [spread(seconds.on), spread(seconds.off)]
  const share = (of: 'least' | 'median') => `${round(((on[of] - off[of]) / on[of]) * 100, 1)} %`
  const shares = { least: share('least'), median: share('median') }
  process.stdout.write(`${JSON.stringify({ ...machine(), cpu_seconds: { on, off }, gate_share: shares }, null, 2)}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

function copySources(to: string): void {
  const root = join(import.meta.dirname, '..')
  for (const name of SOURCES) cpSync(join(root, name), join(to, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'))
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
