import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { openStorage } from '../../lib/storage/open.ts'
import { storageContract } from './storage.suite.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'pseudolake-storage-'))
  folders.push(made)
  return made
}

storageContract('local, by path', async () => ({ storage: localStorage(), root: await folder() }))
storageContract('local, by URI', async () => ({ storage: localStorage(), root: pathToFileURL(await folder()).href }))
storageContract('by scheme', async () => ({ storage: openStorage(), root: 'memory:/t' }))

// A folder is only a prefix of keys in memory: `stat` of one finds nothing, as on S3.
storageContract('memory', async () => ({ storage: memoryStorage(), root: 'memory:/t' }))
