import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import { exists } from '../../storage/exists.ts'
import type { Storage } from '../../storage/storage.ts'

/**
 * Numbered metadata files in a table's folder, as Iceberg's Hadoop tables have them: `metadata/v<N>.metadata.json` and
 * `metadata/version-hint.text`, which is advice and no more: it may be missing, stale or garbage.
 */

export interface MetadataVersion {
  readonly version: number
  readonly location: string
  readonly compression: 'none' | 'gzip'
}

/** Names of one version, the usual one first: Iceberg's library has put `.gz` in both places. */
const NAMES = [
  { name: (version: number) => `v${version}.metadata.json`, compression: 'none' },
  { name: (version: number) => `v${version}.gz.metadata.json`, compression: 'gzip' },
  { name: (version: number) => `v${version}.metadata.json.gz`, compression: 'gzip' },
] as const
const NAME = /^v(\d+)(?:\.gz\.metadata\.json|\.metadata\.json(?:\.gz)?)$/
/** Not what begins with `_` or a dot: a file in the making, of our own first commit say. */
const FOREIGN_NAME = /^[^_.].*\.metadata\.json(?:\.gz)?$/

export function versionLocation(table: string, version: number, compression: 'none' | 'gzip'): string {
  return `${table}/metadata/v${version}${compression === 'gzip' ? '.gz' : ''}.metadata.json`
}

/** The number in a metadata file's location; undefined when it has none of this form. */
export function versionOf(location: string): number | undefined {
  const match = NAME.exec(location.slice(location.lastIndexOf('/') + 1))
  return match ? Number(match[1]) : undefined
}

/**
 * The newest version of the table, undefined where there is none. From the hint upward; where the hint is no use, from a listing.
 * @param atLeast a version known to be there: the search does not start below it
 * @returns with what the hint says, undefined where it says nothing
 * @throws PseudolakeError `table/unsupported` when the folder belongs to a table of another catalog
 */
export async function findNewest(
  storage: Storage,
  table: string,
  atLeast?: MetadataVersion,
): Promise<(MetadataVersion & { readonly hinted: number | undefined }) | undefined> {
  // Above a version that is known there is mostly nothing, and the hint mostly says no more: both are asked for together.
  const above = atLeast && findVersion(storage, table, atLeast.version + 1)
  above?.catch(() => {})
  const hinted = await readHint(storage, table)
  let newest = atLeast
  if (hinted === undefined || hinted > (atLeast?.version ?? 0)) {
    const found = hinted === undefined ? undefined : await findVersion(storage, table, hinted)
    newest = later(found ?? (await greatestListed(storage, table)), atLeast)
  }
  if (!newest) return undefined
  for (;;) {
    const next: MetadataVersion | undefined =
      newest === atLeast ? await above : await findVersion(storage, table, newest.version + 1)
    if (!next) return { ...newest, hinted }
    newest = next
  }
}

function later(a: MetadataVersion | undefined, b: MetadataVersion | undefined): MetadataVersion | undefined {
  if (!a || !b) return a ?? b
  return a.version > b.version ? a : b
}

/** The version's file if it is there. */
export async function findVersion(
  storage: Storage,
  table: string,
  version: number,
): Promise<MetadataVersion | undefined> {
  // Asked for together: on a store each answer takes its time, and mostly there is none of the three.
  const found = await Promise.all(
    NAMES.map(async ({ name, compression }) => {
      const location = `${table}/metadata/${name(version)}`
      return (await exists(storage, location)) ? { version, location, compression } : undefined
    }),
  )
  return found.find((each) => each !== undefined)
}

/** The hint's number; undefined when it is missing or says something else. */
export async function readHint(storage: Storage, table: string): Promise<number | undefined> {
  try {
    const text = new TextDecoder().decode(await storage.read(`${table}/metadata/version-hint.text`)).trim()
    return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return undefined
    throw error
  }
}

/**
 * Says that `version` is the newest. Hadoop keeps a checksum file beside each file that it writes on a disk and refuses one that does not
 * agree, so the hint's goes with the hint it was for.
 */
export async function writeHint(storage: Storage, table: string, version: number): Promise<void> {
  await storage.delete(`${table}/metadata/.version-hint.text.crc`)
  await storage.replace(`${table}/metadata/version-hint.text`, new TextEncoder().encode(String(version)))
}

export async function removeHint(storage: Storage, table: string): Promise<void> {
  await storage.delete(`${table}/metadata/.version-hint.text.crc`)
  await storage.delete(`${table}/metadata/version-hint.text`)
}

/** Every version's file, the oldest first. */
export async function listVersions(storage: Storage, table: string): Promise<MetadataVersion[]> {
  const found: MetadataVersion[] = []
  const prefix = `${table}/metadata/`
  for await (const { location } of storage.list(prefix)) {
    const name = location.slice(prefix.length)
    const version = versionOf(name)
    if (version !== undefined) found.push({ version, location, compression: name.includes('.gz') ? 'gzip' : 'none' })
  }
  return found.sort((a, b) => a.version - b.version)
}

async function greatestListed(storage: Storage, table: string): Promise<MetadataVersion | undefined> {
  let greatest: MetadataVersion | undefined
  let foreign: string | undefined
  const prefix = `${table}/metadata/`
  for await (const { location } of storage.list(prefix)) {
    const name = location.slice(prefix.length)
    const version = versionOf(name)
    if (version !== undefined)
      greatest = later({ version, location, compression: name.includes('.gz') ? 'gzip' : 'none' }, greatest)
    else if (FOREIGN_NAME.test(name)) foreign = location
  }
  if (!greatest && foreign !== undefined)
    throw new PseudolakeError(
      'table/unsupported',
      `${table} belongs to a table of another catalog (it holds ${foreign.slice(prefix.length)}); only that catalog can change it`,
      { location: table },
    )
  return greatest
}
