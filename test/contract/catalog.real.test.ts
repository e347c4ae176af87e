/** The catalogs over real servers: what the fakes and the memory promise, versitygw, moto's Glue and Iceberg's REST catalog keep. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateDatabaseCommand } from '@aws-sdk/client-glue'
import { afterAll } from 'vitest'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { noAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { type MotoGlue, motoGlue, type RestServer, restServer } from '../helpers/catalog-servers.ts'
import { type Counterpart, interop, type Presence } from '../helpers/interop.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { type Versitygw, versitygw } from '../helpers/s3/versitygw.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { catalogContract } from './catalog.suite.ts'

let store: Promise<Versitygw> | undefined
let glue: Promise<MotoGlue> | undefined
let rest: Promise<RestServer> | undefined
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-catalogs-'))
afterAll(async () => {
  await (await glue)?.stop()
  await (await rest)?.stop()
  await (await store)?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const outside = { random: Math.random, uuid: randomUUID }
const s3 = () => {
  store ??= versitygw('lake')
  return store
}
const place = () => `s3://lake/${randomUUID()}`

catalogContract(
  'filesystem on versitygw',
  async () => filesystemCatalog({ storage: s3Over((await s3()).endpoint), warehouse: place(), clock: waitlessClock() }),
  allThere('versitygw'),
)

catalogContract(
  'Glue of moto, tables on versitygw',
  async () => {
    glue ??= motoGlue().then(async (server) => {
      await server.client().send(new CreateDatabaseCommand({ DatabaseInput: { Name: 'db' } }))
      return server
    })
    const client = (await glue).client()
    const storage = s3Over((await s3()).endpoint)
    return emptied(glueCatalog({ client, storage, warehouse: place(), clock: waitlessClock(), ...outside }))
  },
  allThere('versitygw', 'moto'),
)

catalogContract(
  'Iceberg’s REST server, tables on versitygw',
  async () => {
    rest ??= s3().then((server) => restServer(dir, server, 's3://lake/rest'))
    const storage = s3Over((await s3()).endpoint)
    const { uri } = await rest
    const options = { uri, auth: noAuth(), storage, root: place(), clock: waitlessClock(), ...outside }
    return emptied(restCatalog({ ...options, create: 'database' }))
  },
  allThere('versitygw', 'rest-catalog'),
)

/** The servers go on from test to test. */
async function emptied(catalog: Catalog): Promise<Catalog> {
  await catalog.drop({ database: 'db', name: 't' }).catch((error: unknown) => {
    if (!isPseudolakeError(error, 'table/not-found')) throw error
  })
  return catalog
}

function allThere(...names: Counterpart[]): Presence {
  return names.map(interop).find(({ there }) => !there) ?? { there: true }
}
