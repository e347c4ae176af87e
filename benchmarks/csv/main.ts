/**
 * CSV in: the product against what users would pick instead, and the scanner alone against csv-parse. Outputs are judged by DuckDB before anything
 * is timed; then all take turns, each in a process of its own.
 *
 *   node benchmarks/csv/main.ts [--rows 6000000] [--repeat 3] [--dir D]          (make bench-csv)
 */
import { createReadStream, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { generate } from '../../datagen/index.ts'
import { DEFAULT_DIALECT } from '../../lib/csv/dialect.ts'
import { CsvReader } from '../../lib/csv/reader.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { withDuckdb } from '../lib/duckdb.ts'
import { machine, measured, round, spread, type Usage } from '../lib/measure.ts'
import { BIN, startService } from '../lib/service.ts'
import { python } from '../rewrite/peers/install.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '6000000' },
    repeat: { type: 'string', default: '3' },
    dir: { type: 'string', default: join(tmpdir(), 'pseudolake-bench-csv') },
    scan: { type: 'string' },
  },
})
const HERE = import.meta.dirname

if (values.scan) process.stdout.write(String(await scanned(values.scan, values.dir)))
else await main()

async function main(): Promise<void> {
  const { dir } = values
  const [rows, repeat] = [Number(values.rows), Number(values.repeat)]
  mkdirSync(join(dir, 'in'), { recursive: true })
  const input = join(dir, 'in', `${rows}.csv`)
  if (!existsSync(input)) await generate({ location: input, rows, format: 'csv' }, { storage: localStorage() })
  const keyring = join(dir, 'keys.json')
  if (!existsSync(keyring)) measured({ words: [process.execPath, BIN, 'keys', 'create', '--out', keyring] })
  const mapping = join(dir, 'mapping.parquet')
  const output = join(dir, 'output.parquet')
  const config = join(dir, 'job.json')
  const service = await startService(keyring)
  try {
    writeFileSync(
      config,
      JSON.stringify({
        job: 'bench',
        input: { path: input, format: 'csv' },
        columns: { vin: { mode: 'deterministic' } },
        service: { url: `${service.url}/pseudonymization`, api_key: { env: 'KEY' } },
        output: { table: 'bench.csv', warehouse: join(dir, 'warehouse') },
      }),
    )
    const product = (): Usage => {
      rmSync(join(dir, 'warehouse'), { recursive: true, force: true })
      const before = service.cpuSeconds()
      const usage = measured({
        words: [process.execPath, BIN, 'batch', '--config', config, '--json', '--quiet'],
        env: service.env,
      })
      return { ...usage, cpuSeconds: usage.cpuSeconds + service.cpuSeconds() - before }
    }
    const duckdb = (threads: number) => (): Usage =>
      measured({ words: [process.execPath, join(HERE, 'duckdb.ts'), input, mapping, output, String(threads)] })
    const contenders: Record<string, () => Usage> = { pseudolake: product }
    product()
    await judge(input, join(dir, 'warehouse', 'bench', 'csv', 'data', '*.parquet'), rows, mapping, true)
    const polars = withPolars()
    const peers = {
      'duckdb, 1 thread': duckdb(1),
      'duckdb, 2 threads': duckdb(2),
      ...(polars && {
        polars: () => measured({ words: [polars, join(HERE, 'polars_csv.py'), input, mapping, output] }),
      }),
    }
    for (const [name, run] of Object.entries(peers)) {
      run()
      await judge(input, output, rows, mapping)
      contenders[name] = run
    }
    for (const which of ['scanner', 'csv-parse'])
      contenders[`${which}, reading alone`] = () => {
        const usage = measured({ words: [process.execPath, join(HERE, 'main.ts'), '--scan', which, '--dir', input] })
        if (Number(usage.stdout) !== rows) throw new Error(`${which} found ${usage.stdout} rows of ${rows}`)
        return usage
      }
    const all: Record<string, Usage[]> = {}
    for (let i = 0; i < repeat; i++)
      for (const [name, run] of Object.entries(contenders)) {
        all[name] ??= []
        all[name].push(run())
      }
    const result = {
      ...machine(),
      rows,
      bytes: statSync(input).size,
      repeat,
      contenders: Object.fromEntries(
        Object.entries(all).map(([name, usages]) => [
          name,
          {
            wall_seconds: spread(usages.map(({ wallSeconds }) => wallSeconds)),
            cpu_seconds: spread(usages.map(({ cpuSeconds }) => cpuSeconds)),
            peak_rss_mb: round(Math.max(...usages.map(({ peakRssMb }) => peakRssMb)), 0),
          },
        ]),
      ),
    }
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
  } finally {
    await service.stop()
  }
}

function withPolars(): string | undefined {
  try {
    return python()
  } catch (error) {
    process.stderr.write(`polars is left out: ${error instanceof Error ? error.message.slice(0, 200) : 'unknown'}\n`)
    return undefined
  }
}

/**
 * The product's rows are held against those of the input one by one, in their order, which makes the mapping; what a peer wrote has the same rows as
 * input and mapping give, in any order.
 */
async function judge(input: string, output: string, rows: number, mapping: string, first = false): Promise<void> {
  await withDuckdb(async (sql) => {
    const csv = `read_csv('${input}', all_varchar = true, header = true, delim = ',', quote = '"', escape = '"')`
    const both = `(select i.*, o.* rename (dept_id as other_dept, example_ts as other_ts) from ${csv} i positional join '${output}' o)`
    if (first) {
      const equal = 'count(*) filter (dept_id = other_dept and example_ts = other_ts)'
      const distinct = 'count(distinct vin), count(distinct s_vin), count(distinct (vin, s_vin))'
      const [found] = await sql.read(`select count(*), ${equal}, ${distinct} from ${both}`)
      const [all, same, values, pseudonyms, pairs] = (found ?? []).map(Number)
      if (all !== rows || same !== rows || values !== pseudonyms || values !== pairs)
        throw new Error(`wrong output: ${found?.join()} of ${rows} rows`)
      await sql.run(`copy (select distinct vin, s_vin from ${both}) to '${mapping}' (format parquet)`)
      return
    }
    const sum = 'count(*), sum(hash(dept_id, s_vin, example_ts)::hugeint)::varchar'
    const [wanted] = await sql.read(`select ${sum} from ${csv} left join '${mapping}' using (vin)`)
    const [found] = await sql.read(`select ${sum} from '${output}'`)
    if (found?.join() !== wanted?.join() || Number(found?.[0]) !== rows) throw new Error(`wrong output: ${output}`)
  })
}

/** Rows of a file, by one of the two readers. */
async function scanned(which: string, input: string): Promise<number> {
  let rows = 0
  if (which === 'scanner') {
    const reader = await CsvReader.open(createReadStream(input, { highWaterMark: 4 << 20 }), {
      dialect: DEFAULT_DIALECT,
      location: input,
    })
    for await (const batch of reader.batches()) rows += batch.rows
    return rows
  }
  const { parse } = await import('csv-parse')
  const records = createReadStream(input, { highWaterMark: 1 << 20 }).pipe(parse({ from: 2 }))
  for await (const _ of records) rows++
  return rows
}
