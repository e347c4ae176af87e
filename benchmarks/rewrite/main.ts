/**
 * The product against what users would pick instead, on one input after another. README.md has the method.
 *
 *   node benchmarks/rewrite/main.ts [--only run-c,zipf] [--program package|checkout] [--repeat 5] [--scale 1] [--peers cp,duckdb-2]
 *                                   [--dir D] [--results D]                        (make bench-rewrite, make bench-run-a)
 *
 * Each output is judged by DuckDB before anything of that shape is timed; then all contenders take turns.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { machine, measured, round, spread, type Usage } from '../lib/measure.ts'
import { builtPackage } from '../lib/package.ts'
import { BIN, type RunningService, startService } from '../lib/service.ts'
import { COPY, type Contender, PEERS_OF_ALL, parquetFiles, type Task } from './contenders.ts'
import { goalsOf, type ProductRow, type Row } from './goals.ts'
import { type ProductRun, runPseudolake } from './pseudolake.ts'
import { inputOf, RUN_A, SHAPES, type Shape, START } from './shapes.ts'
import { table } from './table.ts'
import { judge } from './verify.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    peers: { type: 'string' },
    program: { type: 'string', default: 'package' },
    repeat: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    dir: { type: 'string', default: join(tmpdir(), 'pseudolake-bench') },
    results: { type: 'string', default: join(import.meta.dirname, '../results/rewrite') },
  },
})
const dir = resolve(values.dir)
const results = resolve(values.results)
const repeat = Number(values.repeat)
const scale = Number(values.scale)
const shapes = chosen([...SHAPES, RUN_A], values.only, SHAPES)
const peers = chosen(PEERS_OF_ALL, values.peers, PEERS_OF_ALL)
const keyring = join(dir, 'keys.json')
mkdirSync(dir, { recursive: true })
mkdirSync(results, { recursive: true })
if (!existsSync(keyring)) measured({ words: [process.execPath, BIN, 'keys', 'create', '--out', keyring] })

const bin = values.program === 'checkout' ? BIN : builtPackage(join(dir, 'package'))
const service = await startService(keyring, { bin })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    service.stop()
    process.exit(1)
  })
try {
  for (const shape of shapes) {
    const started = performance.now()
    say(`${shape.name}: ${shape.what}`)
    const result = await measure(shape, service)
    writeFileSync(
      join(results, `${shape.name}${scale === 1 ? '' : `-x${scale}`}.json`),
      `${JSON.stringify(result, null, 2)}\n`,
    )
    process.stdout.write(`${table(result)}\n`)
    say(`${shape.name}: ${round((performance.now() - started) / 1000, 0)} s`)
  }
} finally {
  service.stop()
}

/** Verifies each contender's output, then times all of them in turn. */
async function measure(shape: Shape, service: RunningService) {
  const { folder, rows } = await inputOf(shape, scale, dir)
  const { folder: small } = await inputOf(START, 1, dir)
  const { files: inputs, bytes } = parquetFiles(folder)
  const mapping = join(dir, 'mapping.parquet')
  const output = join(dir, 'output.parquet')
  const task: Task = { folder, mapping, output, codec: shape.name === 'zstd' ? 'zstd' : 'snappy' }
  const judged = judge({ inputs, columns: shape.columns, keyring, temporary: join(dir, 'duckdb') })
  const checked: Record<string, string> = {}
  const missing: Record<string, string> = {}

  const first = runPseudolake(folder, service, dir)
  const distinct = await judged.mapping(first.files, mapping)
  checked.pseudolake = await judged.check('pseudonym', first.files, mapping)
  say('  pseudolake: verified')
  // The bytes of the input once more and somewhat larger: for run A that is much of a disk.
  rmSync(join(dir, 'warehouse'), { recursive: true })
  const present: Contender[] = []
  // 10 GB and more: only what the goal is about.
  for (const peer of shape === RUN_A && !values.peers ? [COPY] : peers) {
    const reason = await attempt(peer, task, async (files) => {
      checked[peer.name] = await judged.check(peer.leaves, files, mapping)
    })
    if (reason === undefined) present.push(peer)
    else missing[peer.name] = reason
    say(`  ${peer.name}: ${reason ?? 'verified'}`)
  }

  const product: ProductRun[] = []
  const start: ProductRun[] = []
  const others = new Map<string, (Usage & { outputBytes: number })[]>(present.map(({ name }) => [name, []]))
  for (let i = 0; i < repeat; i++) {
    start.push(settled(() => runPseudolake(small, service, dir)))
    const run = settled(() => runPseudolake(folder, service, dir))
    if (run.outputBytes !== first.outputBytes)
      throw new Error('a run wrote another number of bytes than the verified one')
    product.push(run)
    rmSync(join(dir, 'warehouse'), { recursive: true })
    for (const peer of present) {
      const usage = settled(() => measured(peer.command(task)))
      others.get(peer.name)?.push({ ...usage, outputBytes: parquetFiles(output).bytes })
      rmSync(output, { recursive: true })
    }
    say(`  round ${i + 1} of ${repeat}`)
  }
  const pseudolake = productRow(product)
  const rowsOfPeers = Object.fromEntries([...others].map(([name, runs]) => [name, row(runs)]))
  return {
    date: new Date().toISOString().slice(0, 10),
    ...machine(),
    program: values.program,
    shape: shape.name,
    what: shape.what,
    rows,
    scale,
    distinct,
    input_bytes: bytes,
    repeats: repeat,
    checked,
    missing,
    pseudolake,
    start: productRow(start),
    peers: rowsOfPeers,
    goals: goalsOf({ shape: shape.name, scale, distinct, pseudolake, start: productRow(start), peers: rowsOfPeers }),
  }
}

/** Runs a peer once and has its output judged. @returns why it can't take part, if so; a wrong output is no such reason */
async function attempt(
  peer: Contender,
  task: Task,
  check: (files: string) => Promise<void>,
): Promise<string | undefined> {
  rmSync(task.output, { recursive: true, force: true })
  try {
    measured(peer.command(task))
  } catch (error) {
    rmSync(task.output, { recursive: true, force: true })
    return firstLine((error as Error).message)
  }
  await check(parquetFiles(task.output).files)
  rmSync(task.output, { recursive: true })
  return undefined
}

/** After what earlier runs wrote has reached the disk: one contender must not wait for another's bytes. */
function settled<T>(work: () => T): T {
  spawnSync('sync')
  return work()
}

function row(runs: readonly (Usage & { outputBytes: number })[]): Row {
  return {
    wall_seconds: spread(runs.map(({ wallSeconds }) => wallSeconds)),
    cpu_seconds: spread(runs.map(({ cpuSeconds }) => cpuSeconds)),
    peak_rss_mb: Math.round(Math.max(...runs.map(({ peakRssMb }) => peakRssMb))),
    output_bytes: runs.at(-1)?.outputBytes ?? 0,
  }
}

function productRow(runs: readonly ProductRun[]): ProductRow {
  return {
    ...row(runs),
    service_cpu_seconds: spread(runs.map(({ serviceCpuSeconds }) => serviceCpuSeconds)),
    together_cpu_seconds: spread(runs.map(({ cpuSeconds, serviceCpuSeconds }) => cpuSeconds + serviceCpuSeconds)),
    requests: runs[0]?.requests ?? 0,
  }
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: string | undefined,
  by: readonly T[],
): readonly T[] {
  return (
    names?.split(',').map((name) => {
      const found = all.find((each) => each.name === name)
      if (!found) throw new Error(`${name}: expected one of ${all.map((each) => each.name).join(', ')}`)
      return found
    }) ?? by
  )
}

/** What an error says first, without where in the peer's code it was. */
function firstLine(message: string): string {
  const lines = message.split('\n').filter((line) => line.trim() !== '')
  return (lines.findLast((line) => /exception|error/i.test(line) && !/^\s/.test(line)) ?? lines[0] ?? '').slice(0, 300)
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
