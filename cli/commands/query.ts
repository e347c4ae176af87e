import { PseudolakeError } from '../../lib/core/errors.ts'
import { openStorage } from '../../lib/storage/open.ts'
import { type QueryResult, runQuery } from '../../pipelines/query/run.ts'
import type { Command } from '../command.ts'
import { table } from '../output/text.ts'
import { type OpenedTable, TABLE_OPTIONS, withTables } from '../tables.ts'

export const query: Command = {
  name: 'query',
  summary: 'Run SQL over Iceberg tables with DuckDB',
  positionals: [{ name: 'SQL', required: true, summary: 'DuckDB’s SQL; tables by the names given with --table' }],
  options: {
    table: {
      type: 'string',
      value: 'NAME=LOCATION',
      multiple: true,
      required: true,
      summary: 'A table: its folder, one of its metadata files, glue:db.table, or rest:db.table with --config',
    },
    ...TABLE_OPTIONS,
    'max-fetch-mb': {
      type: 'integer',
      value: 'N',
      summary: 'Files in a store that are copied here for the query, at most',
      default: '10240',
    },
    'max-rows': { type: 'integer', value: 'N', summary: 'Rows shown at most', default: '1000' },
  },
  examples: [
    ["pseudolake query 'select count(*) from t' --table t=/lake/warehouse/db/pseudo_table", 'one table'],
    [
      "pseudolake query 'select * from a join b using (s_vin)' --table a=/lake/w/db/a --table b=/lake/w/db/b",
      'two tables, joined by pseudonym',
    ],
    ["pseudolake query 'select count(*) from t' --table t=glue:db.pseudo_table", 'a table in Glue'],
  ],
  async run(args, io) {
    const maxRows = args.number('max-rows') ?? 1000
    if (maxRows < 1)
      throw new PseudolakeError('options/invalid', '--max-rows: expected an integer from 1', { option: 'max-rows' })
    const maxFetchBytes = (args.number('max-fetch-mb') ?? 10240) * 1024 * 1024
    const named = args.strings('table').map((given) => {
      const at = given.indexOf('=')
      if (at < 1) throw new PseudolakeError('options/invalid', '--table: expected NAME=LOCATION', { option: 'table' })
      return [given.slice(0, at), given.slice(at + 1)] as const
    })
    const result = await withTables(args, io, async (open) => {
      const tables = new Map<string, OpenedTable>()
      for (const [name, location] of named) tables.set(name, await open(location))
      return runQuery(args.positionals[0] ?? '', {
        storage: openStorage(),
        tables,
        maxRows,
        maxFetchBytes,
        signal: io.signal,
      })
    })
    return {
      exit: 0,
      json: {
        columns: result.columns,
        rows: result.rows.map((row) => Object.fromEntries(result.columns.map(({ name }, i) => [name, row[i]]))),
        truncated: result.truncated,
      },
      text: resultTable(result),
    }
  },
}

export function resultTable({ columns, rows, truncated }: QueryResult): string {
  const cells = rows.map((row) =>
    row.map((cell) =>
      cell === null || typeof cell === 'number' || typeof cell === 'string' ? cell : JSON.stringify(cell),
    ),
  )
  const shown = table(
    columns.map(({ name }) => name),
    cells,
  )
  return `${shown}${truncated ? '… more rows: raise --max-rows' : `(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`}\n`
}
