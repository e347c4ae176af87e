import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { type Header, PREFIX, readHeader, SUFFIX, VERSION } from './chain.ts'

/** One file of a record. */
export interface AuditFile {
  readonly location: string
  readonly bytes: number
  /** Undefined where its first line is none. */
  readonly header: Header | undefined
}

const CHUNK = 1 << 20
/** An entry has some 400 bytes. */
const MAX_LINE = 1 << 16
const LINE_FEED = 0x0a

/**
 * The files of a record, with what their first lines say.
 * @param folder a location; what else is in it is passed over
 * @throws PseudolakeError `input/not-found` where there is none, `audit/unsupported` where one is of a newer version
 */
export async function auditFiles(storage: Storage, folder: string): Promise<AuditFile[]> {
  const files: AuditFile[] = []
  const prefix = folder.endsWith('/') ? folder : `${folder}/`
  for await (const { location, bytes } of storage.list(prefix)) {
    const name = location.slice(location.lastIndexOf('/') + 1)
    if (location.length - name.length !== prefix.length || !name.startsWith(PREFIX) || !name.endsWith(SUFFIX)) continue
    const head = await storage.read(location, { end: Math.min(bytes, 1024) })
    const header = readHeader(Buffer.from(head).toString('utf8').split('\n', 1)[0] ?? '')
    if (header && header.version > VERSION)
      throw new PseudolakeError(
        'audit/unsupported',
        `${location} is of version ${header.version}, expected ${VERSION}`,
        {
          location,
        },
      )
    files.push({ location, bytes, header })
  }
  if (files.length === 0)
    throw new PseudolakeError('input/not-found', `${folder}: there is no record of calls`, { folder })
  return files.sort((a, b) => (a.location < b.location ? -1 : 1))
}

/** A line without its end, and whether it had one. */
export interface Line {
  readonly bytes: Uint8Array
  readonly ended: boolean
}

/** The lines of an object, a piece of it in memory at a time. Its version must stay: a file that grows is read as it was at first. */
export async function* linesOf(storage: Storage, location: string, bytes: number): AsyncIterable<Line> {
  let rest = new Uint8Array(0)
  for (let at = 0; at < bytes; at += CHUNK) {
    const chunk = await storage.read(location, { start: at, end: Math.min(bytes, at + CHUNK) })
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let from = 0
    for (let end = all.indexOf(LINE_FEED); end >= 0; end = all.indexOf(LINE_FEED, from)) {
      yield { bytes: all.subarray(from, end), ended: true }
      from = end + 1
    }
    rest = all.slice(from)
    if (rest.length > MAX_LINE) break
  }
  if (rest.length > 0) yield { bytes: rest, ended: false }
}
