import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { generate } from '../../datagen/index.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { openStorage } from '../../lib/storage/open.ts'
import type { BatchReport } from '../../pipelines/batch/report.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { makeFolder } from '../../service/keys/folders.ts'
import { startService } from '../../service/start.ts'
import type { Command, Io } from '../command.ts'
import { bytes, count } from '../output/text.ts'
import { absolute } from '../paths.ts'
import { runWithProgress, summary } from './batch.ts'
import { resultTable } from './query.ts'

const DEFAULT_ROWS = 1_000_000
const MAX_ROWS = 2_000_000_000
const API_KEY = 'PSEUDOLAKE_DEMO_KEY'

/** Two datasets that know the same vehicles: what the demo joins in the end. */
const DATASETS = [
  { name: 'trips', share: 1, seed: 1, distinct: 10_000 },
  { name: 'services', share: 0.02, seed: 2, distinct: 10_000 },
] as const

export const demo: Command = {
  name: 'demo',
  summary: 'Show the main job: data, a local service, two pseudonymized tables, a join',
  options: {
    rows: { type: 'integer', value: 'N', summary: 'Rows of the larger dataset', default: String(DEFAULT_ROWS) },
    dir: {
      type: 'string',
      value: 'D',
      summary: 'Where everything goes; a new folder',
      default: 'pseudolake-demo/<time>',
    },
  },
  examples: [
    ['pseudolake demo', 'a million rows, in a few seconds'],
    ['pseudolake demo --rows 10000 --dir /tmp/try', 'smaller, elsewhere'],
  ],
  async run(args, io) {
    const rows = args.number('rows') ?? DEFAULT_ROWS
    if (rows < 1 || rows > MAX_ROWS)
      throw new PseudolakeError('options/invalid', `--rows: expected 1 to ${MAX_ROWS}`, { option: 'rows' })
    const time = new Date(io.clock.wall()).toISOString().slice(0, 19).replaceAll(':', '-')
    const dir = absolute(io.cwd, args.string('dir') ?? join('pseudolake-demo', time))
    const say = (text: string) => io.note(text)
    await newFolder(dir)

    say(`1. Two datasets, in ${shown(io, dir)}`)
    for (const { name, share, seed, distinct } of DATASETS) {
      const made = await generate(
        { location: join(dir, `${name}.parquet`), rows: Math.max(1, Math.ceil(rows * share)), seed, distinct },
        { storage: openStorage(), signal: io.signal },
      )
      say(`   ${name}.parquet: ${count(made.rows)} rows, ${bytes(made.bytes)}`)
    }

    say('2. A keyring, and the pseudonymization service on this machine')
    const keyring = join(dir, 'keys.json')
    await saveKeyring(keyring, createKeyring({ randomBytes, now: io.clock.wall() }), randomBytes)
    const apiKey = randomBytes(24).toString('base64url')
    const service = await startService({ keyring, auth: { apiKey }, clock: io.clock })
    say(`   ${service.url}, with an API key that may pseudonymize and no more`)

    const reports: BatchReport[] = []
    try {
      say('3. Each dataset into an Iceberg table, column vin pseudonymized')
      for (const { name } of DATASETS) {
        const config = join(dir, `${name}.yaml`)
        const source = configOf(name, dir, keyring)
        await writeFile(config, source, { flag: 'wx' })
        const settings = readBatchConfig(source, {
          set: [`service.url=${service.url}/pseudonymization`, `service.api_key.env=${API_KEY}`],
        })
        const report = await runWithProgress(
          settings,
          { ...io, env: { ...io.env, [API_KEY]: apiKey } },
          `pseudolake batch --config ${shown(io, config)}`,
          {},
        )
        reports.push(report)
        say(indented(summary(report)))
      }
    } finally {
      await service.close()
    }

    say('4. A join of the two tables, by pseudonym, in DuckDB')
    const tables = new Map(DATASETS.map(({ name }, i) => [name, reports[i]?.location ?? '']))
    const sql =
      'select trips.s_vin, count(*) as rows_joined from trips join services using (s_vin) group by all order by 2 desc, 1 limit 5'
    const joined = await runQuery(sql, { storage: openStorage(), tables })
    if (joined.rows.length === 0 && rows > 100_000)
      throw new PseudolakeError('internal/bug', 'the two tables of the demo have no pseudonym in common', {})
    return {
      exit: 0,
      json: { dir, reports, join: { sql, rows: joined.rows } },
      text: `${indented(resultTable(joined))}\n${next(io, dir, tables, sql)}`,
    }
  },
}

function configOf(name: string, dir: string, keyring: string): string {
  return `job: ${name}
input: { path: ${JSON.stringify(join(dir, `${name}.parquet`))} }
columns:
  vin: { mode: deterministic }
service: { embedded: { keyring: ${JSON.stringify(keyring)} } }
output:
  table: demo.${name}
  warehouse: ${JSON.stringify(join(dir, 'warehouse'))}
`
}

function next(io: Io, dir: string, tables: ReadonlyMap<string, string>, sql: string): string {
  const here = shown(io, dir)
  const named = [...tables].map(([name, location]) => `--table ${name}=${shown(io, location)}`).join(' ')
  return `Try next:
  pseudolake query "${sql}" ${named}
  pseudolake table show ${shown(io, tables.get('trips') ?? '')}
  pseudolake batch --config ${here}/trips.yaml        a second time: nothing to do
  pseudolake datagen 100 --out more.parquet           a dataset of your own size
In a checkout: npx pseudolake …    Read on: README.md
`
}

async function newFolder(dir: string): Promise<void> {
  try {
    await makeFolder(dirname(dir))
    await mkdir(dir)
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'unknown'
    throw new PseudolakeError(
      'options/invalid',
      `--dir: expected a folder that is new, got ${dir} (${errno})`,
      { option: 'dir', errno },
      { cause: error },
    )
  }
}

/** Relative where that is shorter to type. */
function shown(io: Io, path: string): string {
  const near = relative(io.cwd, path)
  return near !== '' && !near.startsWith('..') ? near : path
}

function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n')
}
