/** From a configuration's `output` section to a catalog. */
import { PseudolakeError } from '../lib/core/errors.ts'
import type { Catalog } from '../lib/iceberg/catalogs/catalog.ts'
import { openCatalog } from '../lib/iceberg/open.ts'
import { awsOf, type PlacesOutside } from './aws.ts'
import { plainCatalog } from './batch/plain/catalog.ts'
import type { BatchSettings } from './config/native.ts'
import { outputStorage } from './storages.ts'

/**
 * The catalog of the output, over the output's storage.
 * @param warehouse as the job has it
 * @throws PseudolakeError `config/invalid`; `secret/*` where it needs one
 */
export async function jobCatalog(
  settings: BatchSettings,
  warehouse: string | undefined,
  outside: PlacesOutside,
): Promise<Catalog> {
  const { clock, random, uuid, signal, aws } = outside
  const { catalog, create } = settings.output
  const storage = outputStorage(settings, outside)
  if (settings.output.format === 'parquet') return plainCatalog({ storage, warehouse: needed(warehouse), clock })
  switch (catalog.type) {
    case 'filesystem':
      return openCatalog({ type: 'filesystem', storage, warehouse: needed(warehouse), clock })
    case 'memory':
      return openCatalog({ type: 'memory', storage, warehouse: needed(warehouse), clock, uuid })
    case 'glue':
      return openCatalog({
        type: 'glue',
        client: await (await aws()).glue(awsOf(settings, 'output')),
        storage,
        warehouse: needed(warehouse),
        clock,
        random,
        signal,
        uuid,
        create,
        ...(catalog.catalog_id !== undefined && { catalogId: catalog.catalog_id }),
      })
    case 'rest': {
      const { restCatalogOf } = await import('./rest-catalog.ts')
      return restCatalogOf(settings, warehouse, storage, outside)
    }
  }
}

function needed(warehouse: string | undefined): string {
  if (warehouse !== undefined) return warehouse
  throw new PseudolakeError('config/invalid', 'output.warehouse: expected a folder or s3:// location, got nothing', {
    key: 'output.warehouse',
  })
}
