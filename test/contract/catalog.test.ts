import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
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
