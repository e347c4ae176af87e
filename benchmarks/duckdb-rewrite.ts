/** A peer: what a user would write in SQL, with the mapping of values to pseudonyms given for free. Prints its CPU time and memory. */
import { DuckDBInstance } from '@duckdb/node-api'

const [input, mapping, output] = process.argv.slice(2)
const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
const connection = await instance.connect()
await connection.run(
  `copy (select dept_id, s_vin, example_ts from '${input}' left join read_csv('${mapping}', all_varchar = true) m using (vin))
   to '${output}' (format parquet, compression snappy)`,
)
connection.closeSync()
instance.closeSync()
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
process.stdout.write(
  JSON.stringify({
    cpuSeconds: Math.round((userCPUTime + systemCPUTime) / 1e4) / 100,
    peakRssMb: Math.round(maxRSS / 1024),
  }),
)
