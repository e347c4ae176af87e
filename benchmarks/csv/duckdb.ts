/** A peer: what a user would write in SQL. Arguments: CSV MAPPING OUTPUT THREADS. */
import { DuckDBInstance } from '@duckdb/node-api'

const [input, mapping, output, threads] = process.argv.slice(2)
const instance = await DuckDBInstance.create(':memory:', { threads: threads as string })
const connection = await instance.connect()
await connection.run(
  `copy (select i.* exclude (vin), m.s_vin
     from read_csv('${input}', all_varchar = true, header = true, delim = ',', quote = '"', escape = '"') i
     left join '${mapping}' m using (vin))
   to '${output}' (format parquet, compression zstd)`,
)
connection.closeSync()
instance.closeSync()
