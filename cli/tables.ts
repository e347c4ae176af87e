/** The table that a command names: a folder or a metadata file anywhere, or a name in a catalog. */
import { randomUUID } from 'node:crypto'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from '../lib/iceberg/catalogs/catalog.ts'
import { type CatalogKind, catalogLocation, openCatalog, openTable } from '../lib/iceberg/open.ts'
import type { Storage } from '../lib/storage/storage.ts'
import { awsOf, lazyAws, type PlacesOutside } from '../pipelines/aws.ts'
import { batchJob } from '../pipelines/batch/job.ts'
import { jobCatalog } from '../pipelines/catalog.ts'
import type { BatchSettings } from '../pipelines/config/native.ts'
import { outputStorage, storageAs } from '../pipelines/storages.ts'
import { openFolder, type OpenedTable as TableToChange } from '../pipelines/tables/open.ts'
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
  /** Its catalog says that this is the newest state. */
  readonly current: boolean
  /** Where it was named by its catalog's name. */
  readonly table?: TableIdentifier
}

/**
 * Opens tables while `use` runs, each with the storage that its files are in.
 * @param use is told where the jobs keep their ledgers, if there is a configuration
 * @throws PseudolakeError `options/invalid`, `config/*`, `table/*`, `storage/*`, `catalog/*`, `aws/*`
 */
export function withTables<T>(
  args: Arguments,
  io: Io,
  use: (open: (given: string) => Promise<OpenedTable>, ledgers: string | undefined) => Promise<T>,
): Promise<T> {
  return withPlaces(args, io, (places) =>
    use(async (given) => {
      const named = catalogLocation(given)
      if (!named)
        return {
          storage: places.storage,
          state: await openTable(places.storage, absolute(io.cwd, given)),
          current: false,
        }
      const catalog = await catalogOf(given, named.kind, places)
      return { state: await catalog.load(named.table), storage: catalog.storage, current: true, table: named.table }
    }, ledgersOf(places)),
  )
}

/** Where a configuration's job keeps its ledgers. */
function ledgersOf({ settings, cwd }: Places): string | undefined {
  return settings && batchJob(settings, cwd).state
}

/** As `withTables`, of one table that is to be changed, through its catalog. @throws as `openFolder` too */
export function withTableToChange<T>(
  args: Arguments,
  io: Io,
  given: string,
  use: (table: TableToChange, ledgers: string | undefined, settings: BatchSettings | undefined) => Promise<T>,
): Promise<T> {
  return withPlaces(args, io, async (places) => {
    const named = catalogLocation(given)
    const opened = named
      ? await tableOf(await catalogOf(given, named.kind, places), named.table)
      : await openFolder(absolute(io.cwd, given), places.storage, io.clock)
    return use(opened, ledgersOf(places), places.settings)
  })
}

async function tableOf(catalog: Catalog, table: TableIdentifier): Promise<TableToChange> {
  return { catalog, table, state: await catalog.load(table) }
}

interface Places extends PlacesOutside {
  readonly settings: BatchSettings | undefined
  readonly cwd: string
  /** As the configuration's output, else as the environment's identity. */
  readonly storage: Storage
}

async function withPlaces<T>(args: Arguments, io: Io, use: (places: Places) => Promise<T>): Promise<T> {
  const { env, clock, random, cwd, signal } = io
  const file = args.string('config')
  const settings = file === undefined ? undefined : await readConfig(file, args.strings('set'), io)
  const { aws, close } = lazyAws(env)
  const outside = { env, clock, random, uuid: randomUUID, signal, aws }
  const storage = settings ? outputStorage(settings, outside) : storageAs({}, outside)
  try {
    return await use({ ...outside, settings, cwd, storage })
  } finally {
    await close()
  }
}

function catalogOf(given: string, kind: CatalogKind, places: Places): Promise<Catalog> {
  return kind === 'glue' ? glue(places) : rest(given, places)
}

/** Needs no configuration: the catalog of the account and region that the environment names. Tables are not made here, so there is no warehouse. */
async function glue({ settings, storage, aws, clock, random, signal, uuid }: Places): Promise<Catalog> {
  const catalogId = settings?.output.catalog.catalog_id
  return openCatalog({
    type: 'glue',
    client: await (await aws()).glue(settings ? awsOf(settings, 'output') : {}),
    storage,
    clock,
    random,
    signal,
    uuid,
    warehouse: 's3://none',
    create: 'never',
    ...(catalogId !== undefined && { catalogId }),
  })
}

async function rest(given: string, { settings, cwd, ...outside }: Places): Promise<Catalog> {
  if (settings?.output.catalog.type === 'rest') return jobCatalog(settings, batchJob(settings, cwd).warehouse, outside)
  throw new PseudolakeError('options/invalid', `${given}: needs --config with an output.catalog of type rest`, {
    option: 'config',
  })
}
