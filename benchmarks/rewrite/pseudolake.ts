/** The product as a contender: a whole run of the command line, from start to commit, with the service in another process. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measured, type Usage } from '../lib/measure.ts'
import type { RunningService } from '../lib/service.ts'

export interface ProductRun extends Usage {
  readonly serviceCpuSeconds: number
  readonly requests: number
  readonly outputBytes: number
  /** The table's data files. */
  readonly files: string
}

export function runPseudolake(folder: string, service: RunningService, dir: string): ProductRun {
  const warehouse = join(dir, 'warehouse')
  rmSync(warehouse, { recursive: true, force: true })
  const config = join(dir, 'job.json')
  writeFileSync(
    config,
    JSON.stringify({
      job: 'bench',
      input: { path: `${folder}/` },
      columns: { vin: { mode: 'deterministic' } },
      service: { url: `${service.url}/pseudonymization`, api_key: { env: 'KEY' } },
      output: { table: 'bench.t', warehouse },
      commit: { max_files: 10_000 },
    }),
  )
  const before = service.cpuSeconds()
  const { stdout, ...usage } = measured({
    words: [process.execPath, service.bin, 'batch', '--config', config, '--json', '--quiet'],
    env: service.env,
  })
  const report = JSON.parse(stdout)
  return {
    ...usage,
    serviceCpuSeconds: service.cpuSeconds() - before,
    requests: report.service.requests,
    outputBytes: report.bytes_out,
    files: `${report.location}/data/*.parquet`,
  }
}
