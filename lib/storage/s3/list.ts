import { PseudolakeError } from '../../core/errors.ts'
import type { StoredObject } from '../storage.ts'
import type { Caller } from './caller.ts'
import { type ListedObject, takeOutEntries } from './list-page.ts'
import { bucketAndKey } from './location.ts'
import { payerOf } from './options.ts'
import { described } from './version.ts'

/**
 * A page of at most 1,000 at a time; the next one is asked for while one is read. @throws PseudolakeError `storage/*`
 */
export async function* list(caller: Caller, prefix: string): AsyncGenerator<StoredObject> {
  const { key } = bucketAndKey(prefix)
  // Found as it was asked for: `s3a://` stays so.
  const root = key === '' ? `${prefix.replace(/\/$/, '')}/` : prefix.slice(0, prefix.length - key.length)
  for (let page: Page | undefined = await pageAt(caller, prefix, undefined); page; ) {
    const { entries, isUrl, token }: Page = page
    const keyOf = isUrl ? decoded : (found: string) => found
    let next: Promise<Page> | undefined
    let given = 0
    for (const { Key, Size, ETag, LastModified } of entries) {
      if (Key === undefined) continue
      // Who is content with the first one asks for no more.
      if (given++ === 1) next = ahead(caller, prefix, token)
      yield described(root + keyOf(Key), { ETag, LastModified, bytes: Size ?? 0 })
    }
    page = token === undefined ? undefined : await (next ?? pageAt(caller, prefix, token))
  }
}

interface Page {
  readonly entries: readonly { readonly [Field in keyof ListedObject]?: ListedObject[Field] | undefined }[]
  /** Whether keys are written as in URLs. */
  readonly isUrl: boolean
  /** Of the next page. */
  readonly token: string | undefined
}

function ahead(caller: Caller, prefix: string, token: string | undefined): Promise<Page> | undefined {
  const page = token === undefined ? undefined : pageAt(caller, prefix, token)
  // Thrown where it is waited for; who stops before that is not told.
  page?.catch(() => {})
  return page
}

async function pageAt(caller: Caller, prefix: string, token: string | undefined): Promise<Page> {
  const { bucket, key } = bucketAndKey(prefix)
  let entries: Page['entries'] | undefined
  const page = await caller.call({ action: 's3:ListBucket', location: prefix }, ({ sdk, send }) => {
    const command = new sdk.ListObjectsV2Command({
      Bucket: bucket,
      Prefix: key,
      // XML has no place for all characters that a key may have.
      EncodingType: 'url',
      ...(token !== undefined && { ContinuationToken: token }),
      ...payerOf(caller.settings),
    })
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args)
        entries = await takenOut(result.response as object)
        return result
      },
      { step: 'deserialize', priority: 'low' },
    )
    return send(command)
  })
  return {
    entries: entries ?? page.Contents ?? [],
    isUrl: page.EncodingType === 'url',
    token: nextToken(page, token, prefix),
  }
}

/** Takes the entries out of an answer that the SDK is about to read. */
async function takenOut(response: {
  statusCode?: number
  body?: unknown
}): Promise<readonly ListedObject[] | undefined> {
  if (response.statusCode !== 200 || !isStream(response.body)) return undefined
  const chunks: Uint8Array[] = []
  for await (const chunk of response.body) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  const taken = takeOutEntries(body.toString())
  response.body = taken ? Buffer.from(taken.rest) : body
  return taken?.entries
}

function isStream(body: unknown): body is AsyncIterable<Uint8Array> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

/** A page that says there are more and does not say where, or says the same again, would end a listing early, or never. */
function nextToken(
  {
    IsTruncated,
    NextContinuationToken: next,
  }: { IsTruncated?: boolean | undefined; NextContinuationToken?: string | undefined },
  last: string | undefined,
  location: string,
): string | undefined {
  if (!IsTruncated) return undefined
  if (next !== undefined && next !== '' && next !== last) return next
  throw notFurther(location)
}

export function notFurther(location: string): PseudolakeError {
  return new PseudolakeError('storage/failed', `the store does not say how the listing of ${location} goes on`, {
    location,
  })
}

/** As forms are encoded: a plus is a blank. */
export function decoded(key: string): string {
  return /[+%]/.test(key) ? decodeURIComponent(key.replaceAll('+', ' ')) : key
}
