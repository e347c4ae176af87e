/**
 * What the program costs before it has rewritten anything: whole processes, taking turns, each after its result was looked at.
 *
 *   node benchmarks/start.ts [--repeat 20] [--other CHECKOUT/bin/pseudolake.js]
 *
 * With --other a second version runs in turn with this one, so that the two can be compared on a machine that has other work.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { machine, measured, spread, type Usage } from './lib/measure.ts'
import { BIN, startService } from './lib/service.ts'

const { values } = parseArgs({
  options: { repeat: { type: 'string', default: '20' }, other: { type: 'string' } },
})
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-start-'))
const input = join(dir, 'in', 'a.parquet')
const keyring = join(dir, 'keys.json')
mkdirSync(join(dir, 'in'))
measured({ words: [process.execPath, BIN, 'datagen', '--rows', '1000', '--distinct', '100', '--out', input] })
measured({ words: [process.execPath, BIN, 'keys', 'create', '--out', keyring] })
const service = await startService(keyring)

interface Case {
  readonly words: readonly string[]
  readonly before?: () => void
  readonly status?: string
}

const versions = { '': BIN, ...(values.other === undefined ? {} : { 'other: ': resolve(values.other) }) }
const cases: Record<string, Case> = { 'node -e 0': { words: ['-e', '0'] } }
for (const [which, bin] of Object.entries(versions)) {
  cases[`${which}--version`] = { words: [bin, '--version'] }
  for (const form of ['json', 'yaml']) {
    for (const [what, status] of [
      ['nothing to do', 'nothing-to-do'],
      ['1,000 rows', 'done'],
    ] as const) {
      const warehouse = join(dir, `${status}-${form}-${Object.keys(cases).length}`)
      const words = [bin, 'batch', '--config', config(form, warehouse), '--json', '--quiet']
      // Published once, so that the runs that count find nothing new.
      if (status === 'nothing-to-do') run({ words, status: 'done' })
      const before = () => rmSync(warehouse, { recursive: true, force: true })
      cases[`${which}${what}, ${form}`] = { words, status, ...(status === 'done' && { before }) }
    }
  }
}

try {
  const usages = new Map<string, Usage[]>(Object.keys(cases).map((name) => [name, []]))
  // The first round fills the compile cache.
  for (let i = 0; i <= Number(values.repeat); i++)
    for (const [name, each] of Object.entries(cases)) {
      each.before?.()
      const usage = run(each)
      if (i > 0) usages.get(name)?.push(usage)
    }
  const result = Object.fromEntries(
    [...usages].map(([name, runs]) => [
      name,
      {
        cpu_seconds: spread(runs.map(({ cpuSeconds }) => cpuSeconds)),
        wall_seconds: spread(runs.map(({ wallSeconds }) => wallSeconds)),
        peak_rss_mb: Math.round(Math.max(...runs.map(({ peakRssMb }) => peakRssMb))),
      },
    ]),
  )
  process.stdout.write(`${JSON.stringify({ ...machine(), repeats: Number(values.repeat), ...result }, null, 2)}\n`)
} finally {
  await service.stop()
  rmSync(dir, { recursive: true, force: true })
}

function run({ words, status }: Case): Usage {
  const { stdout, ...usage } = measured({ words: [process.execPath, ...words], env: service.env })
  if (status !== undefined && JSON.parse(stdout).status !== status) throw new Error(`expected a run that is ${status}`)
  return usage
}

function config(form: string, warehouse: string): string {
  const text = JSON.stringify({
    job: 'start',
    input: { path: input },
    columns: { vin: { mode: 'deterministic' } },
    service: { url: `${service.url}/pseudonymization`, api_key: { env: 'KEY' } },
    output: { table: 'bench.t', warehouse },
  })
  const file = `${warehouse}.${form}`
  // The comment makes it YAML, and no JSON.
  writeFileSync(file, form === 'json' ? text : `# YAML\n${text}\n`)
  return file
}
