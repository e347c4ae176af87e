import { DuckDBInstance } from '@duckdb/node-api'

export interface Sql {
  /** Rows as text. */
  read(sql: string): Promise<(string | null)[][]>
  run(sql: string): Promise<void>
  /** The values of a query's first column, some thousands at a time. */
  column(sql: string): AsyncGenerator<string[]>
}

/** DuckDB for making inputs and judging outputs, never while something is measured. Closed when `work` ends. */
export async function withDuckdb<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2', memory_limit: '6GB' })
  const connection = await instance.connect()
  try {
    return await work({
      read: async (sql) => (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(text)),
      run: async (sql) => void (await connection.run(sql)),
      async *column(sql) {
        const result = await connection.stream(sql)
        for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk())
          yield chunk.getColumnValues(0) as string[]
      },
    })
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function text(value: unknown): string | null {
  return value === null ? null : String(value)
}
