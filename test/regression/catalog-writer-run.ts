/**
 * A writer in a process of its own: adds `count` files of one row to a table in Glue or in a REST catalog, one a commit, each with a mark that says how far it is.
 * What is in the table already is not added again, so it may be killed and started anew. With `killAt` it kills itself (-9) around its n-th
 * call to the store or to Glue. Prints how many calls it made.
 */
import { randomUUID } from 'node:crypto'
import { GlueClient } from '@aws-sdk/client-glue'
import { systemClock } from '../../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { noAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { fetchSend } from '../../lib/iceberg/catalogs/rest-http.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { localStorage } from '../../lib/storage/local.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { SIMPLE, simpleFile } from '../iceberg/tables.ts'

export interface WriterJob {
  /** Address of the catalog. */
  readonly glue?: string
  readonly rest?: string
  readonly warehouse: string
  readonly name: string
  readonly count: number
  /** Row ids are `first`, `first + 1`, … */
  readonly first: number
  readonly killAt?: { readonly call: number; readonly when: 'before' | 'after' }
}

const { glue, rest, warehouse, name, count, first, killAt } = JSON.parse(process.argv[2] as string) as WriterJob
let calls = 0

const clock = systemClock()
const storage = counted(localStorage())
const outside = { storage, clock, random: Math.random, uuid: randomUUID }
const catalog = glue !== undefined ? inGlue(glue) : inRest(rest as string)
const table = { database: 'db', name: 't' }
const mark = `test.writer.${name}`

let done = 0
while (done < count) {
  try {
    done = await markOf()
    if (done < count) await appendOne(done)
  } catch (error) {
    // Each of these is a reason to look again, and to go on from what is there.
    if (
      !isPseudolakeError(error, 'table/conflict', 'table/commit-unknown', 'table/mark-changed', 'catalog/unavailable')
    )
      throw error
  }
}
process.stdout.write(String(calls))

async function markOf(): Promise<number> {
  try {
    return Number((await catalog.load(table)).metadata.properties[mark] ?? 0)
  } catch (error) {
    if (isPseudolakeError(error, 'table/not-found')) return 0
    throw error
  }
}

async function appendOne(before: number): Promise<void> {
  const location = await catalog.newTableLocation(table)
  const file = await simpleFile(storage, location, `${name}-${before}-${randomUUID()}`, [first + before])
  await appendFiles(
    catalog,
    table,
    {
      schema: SIMPLE,
      create: { properties: {} },
      files: [file],
      runId: `${name}-${before}`,
      setProperties: { [mark]: String(before + 1) },
      check(metadata) {
        if (Number(metadata?.properties[mark] ?? 0) !== before)
          throw new PseudolakeError('table/mark-changed', 'it is in the table already')
      },
    },
    { clock, random: Math.random, uuid: randomUUID },
  )
}

function inGlue(endpoint: string): Catalog {
  const client = new GlueClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  })
  const send = ((...args: [never]) => around(() => client.send(...args))) as never
  return glueCatalog({ client: { send }, warehouse, ...outside })
}

function inRest(uri: string): Catalog {
  const plain = fetchSend()
  return restCatalog({
    uri,
    auth: noAuth(),
    root: warehouse,
    send: (request) => around(() => plain(request)),
    ...outside,
  })
}

async function around<T>(call: () => Promise<T>): Promise<T> {
  const own = ++calls
  if (own === killAt?.call && killAt.when === 'before') await killed()
  try {
    return await call()
  } finally {
    if (own === killAt?.call && killAt.when === 'after') await killed()
  }
}

async function killed(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => undefined)
}

function counted(inner: Storage): Storage {
  return {
    ...inner,
    stat: (location) => around(() => inner.stat(location)),
    read: (location, options) => around(() => inner.read(location, options)),
    create: (location, bytes) => around(() => inner.create(location, bytes)),
    replace: (location, bytes) => around(() => inner.replace(location, bytes)),
    delete: (location) => around(() => inner.delete(location)),
  }
}
