/** The table that tests of verification break, and what they ask of it. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openTable } from '../../../lib/iceberg/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { type VerifyOptions, verifyTable } from '../../../pipelines/verify/verify.ts'
import { type Lake, lake } from '../../helpers/lake.ts'
import * as damage from './damage.ts'

export const DAY = 24 * 3_600_000

export const PLANTED = 'PLANTED-IDENTIFIER'

/** Two runs of one job: two data files, nulls and empty strings among them, a copied column beside. */
export async function made(): Promise<Lake> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (const name of ['a', 'b']) {
    await home.sql(
      `copy (select case i % 7 when 0 then null when 1 then '' else '${PLANTED}-' || (i % 40) end as vin, i as n, 'note ' || i as note
             from range(600) r(i)) to '{dir}/in/${name}.parquet'`,
    )
    await home.run({ columns: { vin: { mode: 'deterministic' } } })
  }
  return home
}

export async function verified(table: string, options: Partial<VerifyOptions> = {}) {
  const storage = localStorage()
  return verifyTable(await openTable(storage, table), { storage, now: Date.now(), ...options })
}

/** Kinds that are found, whatever else is said of them. */
export async function kinds(table: string, options: Partial<VerifyOptions> = {}): Promise<string[]> {
  return Object.keys((await verified(table, options)).counts).sort()
}

export const first = (files: readonly string[]) => files[0] as string

export function totals(table: string, rows: number, files: number) {
  return damage.editMetadata(table, ({ snapshots }) => {
    Object.assign(snapshots.at(-1)?.summary ?? {}, { 'total-records': String(rows), 'total-data-files': String(files) })
  })
}

export function metadataFile(table: string, pattern: RegExp): string {
  const folder = join(table, 'metadata')
  return join(folder, readdirSync(folder).find((name) => pattern.test(name)) ?? 'none')
}

export function ledger({ dir }: Lake, epoch: number): string {
  const state = join(dir, 'warehouse', '_pseudolake')
  const name = readdirSync(state, { recursive: true }).find((each) => String(each).includes(`/0000000${epoch}-`))
  return join(state, String(name))
}
