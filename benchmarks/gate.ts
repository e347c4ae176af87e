/**
 * What the gate costs: CPU of whole runs with it and without it, in turn, each in a process of its own; the least of each counts.
 *
 *   node benchmarks/gate.ts INPUT.parquet COLUMN KEYRING [REPEATS]
 *
 * The product has no switch to turn the gate off: here its methods are taken out.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../lib/core/clock.ts'
import { filesystemCatalog } from '../lib/iceberg/catalogs/filesystem.ts'
import { localStorage } from '../lib/storage/local.ts'
import { Gate } from '../pipelines/batch/gate/gate.ts'
import { batchJob } from '../pipelines/batch/job.ts'
import { runBatch } from '../pipelines/batch/run.ts'
import { readBatchConfig } from '../pipelines/config/load.ts'
import { connectService } from '../pipelines/service.ts'

const [input = '', column = 'vin', keyring = '', repeats = '5', only] = process.argv.slice(2)

if (only) process.stdout.write(JSON.stringify(await once(only === 'on')))
else {
  const seconds: Record<string, number[]> = { on: [], off: [] }
  for (let i = 0; i < Number(repeats); i++)
    for (const which of ['on', 'off']) {
      const args = [import.meta.filename, input, column, keyring, '1', which]
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      if (status !== 0) throw new Error(stderr)
      seconds[which]?.push((JSON.parse(stdout) as { cpuSeconds: number }).cpuSeconds)
    }
  const [on, off] = [Math.min(...(seconds.on ?? [])), Math.min(...(seconds.off ?? []))]
  const share = `${(((on - off) / on) * 100).toFixed(1)} %`
  process.stdout.write(`${JSON.stringify({ cpu_seconds: { on, off }, gate_share: share, all: seconds }, null, 2)}\n`)
}

async function once(gate: boolean): Promise<{ cpuSeconds: number }> {
  if (!gate) {
    Gate.prototype.file = async () => {}
    Gate.prototype.step = async () => {}
  }
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-gate-'))
  try {
    const settings = readBatchConfig(
      JSON.stringify({
        job: 'gate',
        input: { path: input },
        columns: { [column]: { mode: 'deterministic' } },
        service: { embedded: { keyring } },
        output: { table: 'bench.gate', warehouse: dir },
      }),
    )
    const job = batchJob(settings, dir)
    const storage = localStorage()
    const clock = systemClock()
    const usage = () => {
      const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
      return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }
    }
    const report = await runBatch(job, {
      storage,
      catalog: filesystemCatalog({ storage, warehouse: dir, clock }),
      connect: () => connectService(settings, { env: {}, cwd: dir, clock, random: Math.random, randomBytes }),
      clock,
      random: Math.random,
      uuid: randomUUID,
      runId: `gate-${randomUUID().slice(0, 8)}`,
      createdBy: 'pseudolake version 0.0.0',
      command: 'bench',
      usage,
      signal: new AbortController().signal,
    })
    if (report.status !== 'done') throw new Error(report.status)
    return { cpuSeconds: report.cpu_seconds }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
