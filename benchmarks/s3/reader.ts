/** Reads and lists over the HTTP of server.ts: the part of a storage adapter that planning needs, for measuring it. */
import { Pool } from 'undici'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Storage, StoredObject, Version } from '../../lib/storage/storage.ts'

/** @param prefix of locations, in front of keys */
export function s3Reader(address: string, prefix: string): Pick<Storage, 'stat' | 'read' | 'list'> {
  const pool = new Pool(address, { connections: 64 })
  const keyAt = (location: string) => location.slice(prefix.length)
  const pathOf = (location: string) => `/bucket/${encodeURI(keyAt(location))}`

  return {
    async stat(location) {
      const { statusCode, headers, body } = await pool.request({ method: 'HEAD', path: pathOf(location) })
      await body.dump()
      if (statusCode === 404) throw new PseudolakeError('storage/not-found', `no object at ${location}`, { location })
      return {
        location,
        bytes: Number(headers['content-length']),
        version: String(headers.etag) as Version,
        modified: Date.parse(String(headers['last-modified'])),
      }
    },

    async read(location, { start = 0, end, ifMatch } = {}) {
      const headers = {
        ...(end === undefined ? {} : { range: `bytes=${start}-${end - 1}` }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      }
      const { statusCode, body } = await pool.request({ method: 'GET', path: pathOf(location), headers })
      if (statusCode === 412) throw new PseudolakeError('storage/changed', `${location} changed`, { location })
      if (statusCode >= 300) throw new PseudolakeError('storage/not-found', `no object at ${location}`, { location })
      return new Uint8Array(await body.arrayBuffer())
    },

    async *list(location) {
      let token: string | undefined
      do {
        const query = new URLSearchParams({ 'list-type': '2', prefix: keyAt(location) })
        if (token !== undefined) query.set('continuation-token', token)
        const { body } = await pool.request({ method: 'GET', path: `/bucket?${query}` })
        const page = await body.text()
        for (const [, contents = ''] of page.matchAll(/<Contents>(.*?)<\/Contents>/gs))
          yield described(prefix, contents)
        token = element(page, 'NextContinuationToken')
      } while (token !== undefined)
    },
  }
}

function described(prefix: string, contents: string): StoredObject {
  return {
    location: prefix + text(contents, 'Key'),
    bytes: Number(text(contents, 'Size')),
    version: text(contents, 'ETag').replaceAll('&quot;', '"') as Version,
    modified: Date.parse(text(contents, 'LastModified')),
  }
}

function text(xml: string, name: string): string {
  const found = element(xml, name)
  if (found === undefined) throw new Error(`a page without ${name}`)
  return found
}

function element(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(xml)?.[1]
}
