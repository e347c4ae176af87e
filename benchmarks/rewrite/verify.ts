/** Outputs judged by DuckDB: whatever stands in the place of `vin`, turned back, must give the rows of the input. */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { loadKeyring } from '../../service/keys/file.ts'
import { reidentify } from '../../service/operations/operations.ts'
import { type Sql, withDuckdb } from '../lib/duckdb.ts'
import type { Contender } from './contenders.ts'

/** So many pseudonyms are also turned back by the audited libraries, forty times slower than our kernel. */
const JUDGED_BY_NOBLE = 20_000

/** Rows as a multiset: their number, and two sums over their hashes that no swap, loss or doubling leaves as they are. */
const digest = (columns: readonly string[]) =>
  `select count(*), bit_xor(hash(${columns.join(', ')})), sum(hash(${columns.join(', ')})::hugeint)`

export interface Judge {
  /** The mapping of values to pseudonyms that a table shows, as a Parquet file for the peers. @returns its number of values */
  mapping(table: string, to: string): Promise<number>
  /** @throws Error where the rows are not the input's @returns what was compared */
  check(leaves: Contender['leaves'], files: string, mapping: string): Promise<string>
}

export function judge(options: {
  readonly inputs: string
  readonly columns: readonly string[]
  readonly keyring: string
  /** For DuckDB, where memory is short. */
  readonly temporary: string
}): Judge {
  const { inputs, columns, keyring } = options
  const expected = new Map<string, Promise<string>>()

  const withJudge = <T>(work: (sql: Sql) => Promise<T>) =>
    withDuckdb(async (sql) => {
      await sql.run(`set temp_directory = '${options.temporary}'`)
      return work(sql)
    })
  const digestOf = (sql: string) => withJudge(async ({ read }) => JSON.stringify(await read(sql)))

  return {
    async mapping(table, to) {
      const data = await loadKeyring(keyring)
      const fast = openKeyring(data, wasmKernel, { randomBytes })
      const audited = openKeyring(data, nobleKernel, { randomBytes })
      const csv = `${to}.csv`
      const file = openSync(csv, 'w')
      let count = 0
      let judged = 0
      try {
        await withJudge(async ({ column, run }) => {
          writeSync(file, 'vin,s_vin\n')
          for await (const values of column(`select distinct s_vin from '${table}' where s_vin is not null`)) {
            const back = await reidentify(fast, { domain: 'default', values })
            if (judged < JUDGED_BY_NOBLE) {
              const again = await reidentify(audited, { domain: 'default', values })
              if (JSON.stringify(again.values) !== JSON.stringify(back.values)) throw new Error('two kernels disagree')
              judged += values.length
            }
            writeSync(file, values.map((value, i) => `${back.values[i]},${value}\n`).join(''))
            count += values.length
          }
          await run(`copy (from read_csv('${csv}', all_varchar = true)) to '${to}' (format parquet)`)
        })
      } finally {
        closeSync(file)
        rmSync(csv, { force: true })
      }
      return count
    },

    async check(leaves, files, mapping) {
      const compared = leaves === 'nothing' || leaves === 'null' ? columns : [...columns, 'vin']
      const sql = digest(compared)
      const input = expected.get(sql) ?? digestOf(`${sql} from '${inputs}'`)
      expected.set(sql, input)
      const from = leaves === 'pseudonym' ? `'${files}' left join '${mapping}' using (s_vin)` : `'${files}'`
      const found = await digestOf(`${sql} from ${from}`)
      if (found !== (await input)) throw new Error(`the rows of ${files} are not the input’s`)
      if (leaves === 'null' && (await digestOf(`select count(vin) from '${files}'`)) !== '[["0"]]')
        throw new Error('a value was left')
      const rows = (JSON.parse(found) as string[][])[0]?.[0]
      return `${rows} rows equal to the input’s${AS[leaves]}`
    },
  }
}

const AS: Readonly<Record<Contender['leaves'], string>> = {
  pseudonym: ', pseudonyms turned back',
  nothing: ' but for the column that was left out',
  null: ' but for the column of nulls',
  original: '',
}
