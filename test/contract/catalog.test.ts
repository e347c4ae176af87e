import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { noAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { glueFake } from '../helpers/glue-fake.ts'
import { restFake } from '../helpers/rest-fake.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { catalogContract } from './catalog.suite.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-catalog-'))
afterAll(() => rmSync(folder, { recursive: true }))
let opened = 0

catalogContract('memory', async () =>
  memoryCatalog({ storage: memoryStorage(), warehouse: 'memory:/wh', clock: waitlessClock(), uuid: randomUUID }),
)

catalogContract('filesystem in memory', async () =>
  filesystemCatalog({ storage: memoryStorage(), warehouse: 'memory:/wh', clock: waitlessClock() }),
)

catalogContract('filesystem on a disk', async () =>
  filesystemCatalog({ storage: localStorage(), warehouse: join(folder, String(++opened)), clock: waitlessClock() }),
)

catalogContract('Glue', async () => {
  const glue = await glueFake()
  return glueCatalog({
    client: glue.client(),
    storage: memoryStorage(),
    warehouse: 'memory:/wh',
    clock: waitlessClock(),
    random: Math.random,
    uuid: randomUUID,
  })
})

catalogContract('Iceberg REST', async () =>
  restCatalog({
    uri: (await restFake()).uri,
    auth: noAuth(),
    root: 'memory:/wh',
    storage: memoryStorage(),
    clock: waitlessClock(),
    random: Math.random,
  }),
)
