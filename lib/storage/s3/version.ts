import type { StoredObject, Version } from '../storage.ts'

/** An ETag is a version. Its quotes are the header's: listings have them, some stores do not. */
export function versionOf(etag: string | undefined): Version {
  return (etag ?? '').replace(/^"(.*)"$/, '$1') as Version
}

export function etagOf(version: Version): string {
  return version.startsWith('W/') ? version : `"${version}"`
}

/** What a HEAD, a GET or an entry of a listing says of an object. */
export function described(
  location: string,
  { ETag, LastModified, bytes }: { ETag?: string | undefined; LastModified?: Date | undefined; bytes: number },
): StoredObject {
  return { location, bytes, version: versionOf(ETag), modified: LastModified?.getTime() ?? 0 }
}
