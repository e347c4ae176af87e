/** A peer: what a user would write in SQL. Arguments: INPUTS MAPPING OUTPUT CODEC THREADS. */
import { DuckDBInstance } from '@duckdb/node-api'

const [inputs, mapping, output, codec, threads] = process.argv.slice(2)
const instance = await DuckDBInstance.create(':memory:', { threads: threads as string })
const connection = await instance.connect()
await connection.run(
  `copy (select i.* exclude (vin), m.s_vin from '${inputs}' i left join '${mapping}' m using (vin))
   to '${output}' (format parquet, compression ${codec})`,
)
connection.closeSync()
instance.closeSync()
