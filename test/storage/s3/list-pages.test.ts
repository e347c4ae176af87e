/** Pages of listings as stores write them: what is taken out of their XML is what the SDK reads out of it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { takeOutEntries } from '../../../lib/storage/s3/list-page.ts'
import { s3Client, s3Over } from '../../helpers/s3/open.ts'
import { waitlessClock } from '../../iceberg/clock.ts'

/** A store that has one answer. */
async function answering(body: string): Promise<string> {
  const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'application/xml' }).end(body))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.closeAllConnections())
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function bySdk(endpoint: string) {
  const page = await s3Client(endpoint).send(new ListObjectsV2Command({ Bucket: 'bucket' }))
  return (page.Contents ?? []).map(({ Key, Size, ETag, LastModified }) => ({
    location: `s3://bucket/${Key}`,
    bytes: Size,
    version: (ETag ?? '').replaceAll('"', ''),
    modified: LastModified?.getTime() ?? 0,
  }))
}

async function byUs(endpoint: string) {
  const found: object[] = []
  for await (const object of s3Over(endpoint, { clock: waitlessClock() }).list('s3://bucket/')) found.push(object)
  return found
}

const page = (inner: string, namespace = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult${namespace}><Name>b</Name><Prefix></Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>${inner}</ListBucketResult>`
const TIME = '<LastModified>2026-01-02T03:04:05.678Z</LastModified>'
const TAG = '<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-2&quot;</ETag>'

test.each([
  [
    'AWS',
    page(
      `<Contents><Key>in/a.parquet</Key>${TIME}${TAG}<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>12345678901</Size><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>x</Prefix></CommonPrefixes>`,
    ),
    1,
    true,
  ],
  [
    'one that tells owners',
    page(
      `<Contents><Key>a</Key>${TIME}${TAG}<Size>1</Size><Owner><ID>i</ID><DisplayName>n</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>`.repeat(
        3,
      ),
    ),
    3,
    true,
  ],
  [
    'one with lines',
    page(`\n  <Contents>\n    <Key>a</Key>\n    ${TIME}\n    ${TAG}\n    <Size>1</Size>\n  </Contents>\n`, ''),
    1,
    true,
  ],
  [
    'one whose tags have no quotes',
    page(`<Contents><Key>a</Key>${TIME}<ETag>abc</ETag><Size>1</Size></Contents>`),
    1,
    true,
  ],
  [
    'one that writes characters by number',
    page(
      `<Contents><Key>a&amp;b&#38;&#x26;c&lt;d&gt;&apos;&#xE9;</Key>${TIME}<ETag>&#34;abc&#34;</ETag><Size>0</Size></Contents>`,
    ),
    1,
    true,
  ],
  [
    'one with what looks like an entity and is none',
    page(`<Contents><Key>a&amp;amp;b&amp;lt;</Key>${TIME}${TAG}<Size>0</Size></Contents>`),
    1,
    true,
  ],
  ['one without times', page(`<Contents><Key>a</Key>${TAG}<Size>1</Size></Contents>`), 1, true],
  ['one that has nothing', page(''), 0, false],
  ['one with attributes', page(`<Contents n="1"><Key>a</Key>${TIME}${TAG}<Size>1</Size></Contents>`), 1, false],
  [
    'one with sections of text',
    page(`<Contents><Key><![CDATA[a<b]]></Key>${TIME}${TAG}<Size>1</Size></Contents>`),
    1,
    false,
  ],
  ['one with remarks', page(`<!-- x --><Contents><Key>a</Key>${TIME}${TAG}<Size>1</Size></Contents>`), 1, false],
  [
    'one with times of another form',
    page(`<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05+02:00</LastModified>${TAG}<Size>1</Size></Contents>`),
    1,
    false,
  ],
] as const)('the listing of %s is read as the SDK reads it', async (_, body, objects, taken) => {
  const endpoint = await answering(body)
  const found = await byUs(endpoint)
  expect(found).toEqual(await bySdk(endpoint))
  expect(found).toHaveLength(objects)
  expect(takeOutEntries(body) !== undefined).toBe(taken)
})

test.each([
  ['cut off in an entry', page(`<Contents><Key>a</Key>${TIME}${TAG}<Size>1</Size></Contents><Contents><Key>b`)],
  ['with a size that is none', page(`<Contents><Key>a</Key>${TIME}${TAG}<Size>-1</Size></Contents>`)],
  ['that is no listing', `<Error><Code>SlowDown</Code><Contents></Contents></Error>`],
])('a page %s is left to the SDK', (_, body) => {
  expect(takeOutEntries(body)).toBeUndefined()
})

test('a page that stops in the middle is no listing', async () => {
  const body = page(`<Contents><Key>a</Key>${TIME}${TAG}<Size>1</Size></Contents>`)
  const endpoint = await answering(body.slice(0, -30))
  await expect(byUs(endpoint)).rejects.toMatchObject({ code: expect.stringMatching(/^storage\//) })
})

test('whatever keys and tags are, what is taken out is what was put in, and the rest is the rest', () => {
  const escaped = (text: string) => text.replace(/[&<>"']/g, (one) => `&#${one.codePointAt(0)};`)
  const entry = fc.record({
    Key: fc.string({ unit: 'grapheme', minLength: 1 }),
    ETag: fc.string(),
    Size: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    LastModified: fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }),
  })
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1 }), fc.string(), (entries, prefix) => {
      const frame = (inner: string) =>
        `<ListBucketResult><Prefix>${escaped(prefix)}</Prefix>${inner}<IsTruncated>true</IsTruncated></ListBucketResult>`
      const xml = entries.map(
        ({ Key, ETag, Size, LastModified }) =>
          `<Contents><ETag>${escaped(ETag)}</ETag><Key>${escaped(Key)}</Key><Size>${Size}</Size><LastModified>${LastModified.toISOString()}</LastModified></Contents>`,
      )
      expect(takeOutEntries(frame(xml.join('')))).toEqual({ entries, rest: frame('') })
    }),
  )
})
