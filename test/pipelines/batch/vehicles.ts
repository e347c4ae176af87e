/** Inputs and looks at tables that the tests of batch runs share. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTable } from '../../../lib/iceberg/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Lake } from '../../helpers/lake.ts'

export const VIN = { vin: { mode: 'deterministic' } }

export const VEHICLES = `select 'd' || (i % 5) as dept, case when i % 7 = 0 then null when i % 11 = 0 then '' else 'VIN' || (i % 40) end as vin, i as n from range(1000) r(i)`

/** DuckDB does not make folders. */
export async function inputs(home: Lake, files: Record<string, string>): Promise<void> {
  for (const [name, select] of Object.entries(files)) {
    const path = join(home.dir, 'in', name)
    mkdirSync(join(path, '..'), { recursive: true })
    await home.sql(`copy (${select}) to '${path}' (format parquet, row_group_size 200)`)
  }
}

export async function stripMarks(home: Lake): Promise<void> {
  await edit(home, (metadata) => ({
    ...metadata,
    properties: Object.fromEntries(
      Object.entries(metadata.properties as object).filter(([name]) => !name.startsWith('pseudolake.job')),
    ),
  }))
}

/** As another writer might have left it. Ids of 64 bits are kept by editing around them. */
export async function edit(
  home: Lake,
  change: (metadata: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  const { metadataLocation } = await openTable(localStorage(), home.table)
  const quoted = readFileSync(metadataLocation, 'utf8').replaceAll(/(-id"\s*:\s*)(\d{10,})/g, '$1"@$2"')
  writeFileSync(metadataLocation, JSON.stringify(change(JSON.parse(quoted))).replaceAll(/"@(\d+)"/g, '$1'))
}

export function tree(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
      .sort()
  } catch {
    return []
  }
}
