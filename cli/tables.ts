/** The table that a command names: a folder or a metadata file anywhere, or a name in a catalog. */
import { randomUUID } from 'node:crypto'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { TableState } from '../lib/iceberg/catalogs/catalog.ts'
import { catalogLocation, openTable } from '../lib/iceberg/open.ts'
import type { Storage } from '../lib/storage/storage.ts'
import { awsOf, lazyAws, type PlacesOutside } from '../pipelines/aws.ts'
import { jobCatalog } from '../pipelines/catalog.ts'
import type { BatchSettings } from '../pipelines/config/native.ts'
import { outputStorage, storageAs } from '../pipelines/storages.ts'
import type { Arguments, Io, Option } from './command.ts'
import { readConfig } from './config-file.ts'
import { absolute } from './paths.ts'

export const TABLE_LOCATION =
  'The table: its folder, one of its metadata files (….metadata.json), glue:db.table, or rest:db.table with --config'

/** Of every command that opens tables. */
export const TABLE_OPTIONS = {
  config: {
    type: 'string',
    value: 'F',
    summary: 'A job’s configuration: its output section says how the catalog and buckets are reached',
  },
  set: { type: 'string', value: 'KEY=VALUE', multiple: true, summary: 'Override a key of the configuration' },
} as const satisfies Record<string, Option>

export interface OpenedTable {
  readonly storage: Storage
  readonly state: TableState
}

/**
 * Opens tables while `use` runs, each with the storage that its files are in.
 * @throws PseudolakeError `options/invalid`, `config/*`, `table/*`, `storage/*`, `catalog/*`, `aws/*`
 */
export async function withTables<T>(
  args: Arguments,
  io: Io,
  use: (open: (given: string) => Promise<OpenedTable>) => Promise<T>,
): Promise<T> {
  const { env, clock, random } = io
  const file = args.string('config')
  const settings = file === undefined ? undefined : await readConfig(file, args.strings('set'), io)
  const { aws, close } = lazyAws(env)
  const places = { env, clock, random, uuid: randomUUID, aws }
  try {
    const own = settings ? outputStorage(settings, places) : storageAs({}, places)
    return await use(async (given) => {
      const named = catalogLocation(given)
      if (!named) return { storage: own, state: await openTable(own, absolute(io.cwd, given)) }
      const catalog =
        named.kind === 'glue' ? await glue(settings, own, places) : await rest(given, settings, io.cwd, places)
      return { state: await catalog.load(named.table), storage: catalog.storage }
    })
  } finally {
    await close()
  }
}

/** Needs no configuration: the catalog of the account and region that the environment names. Tables are not made here, so there is no warehouse. */
async function glue(settings: BatchSettings | undefined, storage: Storage, places: PlacesOutside) {
  const { openCatalog } = await import('../lib/iceberg/open.ts')
  const catalogId = settings?.output.catalog.catalog_id
  return openCatalog({
    ...places,
    type: 'glue',
    client: await (await places.aws()).glue(settings ? awsOf(settings, 'output') : {}),
    storage,
    warehouse: 's3://none',
    create: 'never',
    ...(catalogId !== undefined && { catalogId }),
  })
}

async function rest(given: string, settings: BatchSettings | undefined, cwd: string, places: PlacesOutside) {
  if (settings?.output.catalog.type === 'rest') {
    const { batchJob } = await import('../pipelines/batch/job.ts')
    return jobCatalog(settings, batchJob(settings, cwd).warehouse, places)
  }
  throw new PseudolakeError('options/invalid', `${given}: needs --config with an output.catalog of type rest`, {
    option: 'config',
  })
}
