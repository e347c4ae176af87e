/**
 * The entries of a listing's page, taken out of its XML before the SDK reads the rest. The SDK makes a tree of each page, then objects by their
 * schema: two thirds of what it takes to find out that none of 100,000 inputs is new. What is not plainly as S3 writes it is left to the SDK. Pure.
 */

export interface ListedObject {
  readonly Key: string
  readonly ETag: string | undefined
  readonly LastModified: Date | undefined
  readonly Size: number
}

export interface TakenOut {
  readonly entries: readonly ListedObject[]
  /** The page without them. */
  readonly rest: string
}

const BEGIN = '<Contents>'
const END = '</Contents>'

/** @returns undefined for what is no page of a listing, or is written in a way that only a reader of XML should judge */
export function takeOutEntries(page: string): TakenOut | undefined {
  const first = page.indexOf(BEGIN)
  if (first < 0 || page.includes('<!') || !page.includes('<ListBucketResult')) return undefined
  const entries: ListedObject[] = []
  let rest = page.slice(0, first)
  let at = first
  for (;;) {
    const begin = page.indexOf(BEGIN, at)
    if (begin < 0) break
    rest += page.slice(at, begin)
    const end = page.indexOf(END, begin)
    const entry = end < 0 ? undefined : entryOf(page.slice(begin + BEGIN.length, end))
    if (!entry) return undefined
    entries.push(entry)
    at = end + END.length
  }
  return { entries, rest: rest + page.slice(at) }
}

function entryOf(xml: string): ListedObject | undefined {
  const key = textOf(xml, 'Key')
  const size = textOf(xml, 'Size')
  const modified = textOf(xml, 'LastModified')
  if (key === undefined || size === undefined || !/^\d{1,16}$/.test(size)) return undefined
  const time = modified === undefined ? undefined : new Date(modified)
  if (time && (!/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(modified ?? '') || Number.isNaN(time.getTime()))) return undefined
  return { Key: key, ETag: textOf(xml, 'ETag'), LastModified: time, Size: Number(size) }
}

const TAGS = {
  Key: ['<Key>', '</Key>'],
  Size: ['<Size>', '</Size>'],
  LastModified: ['<LastModified>', '</LastModified>'],
  ETag: ['<ETag>', '</ETag>'],
} as const

function textOf(xml: string, tag: keyof typeof TAGS): string | undefined {
  const [open, close] = TAGS[tag]
  const begin = xml.indexOf(open)
  if (begin < 0) return undefined
  const from = begin + open.length
  const end = xml.indexOf(close, from)
  if (end < 0) return undefined
  const text = xml.slice(from, end)
  return text.includes('&') ? text.replace(/&(?:#(\d+)|#x([0-9a-fA-F]+)|(amp|lt|gt|quot|apos));/g, character) : text
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function character(whole: string, decimal?: string, hex?: string, name?: string): string {
  if (name !== undefined) return NAMED[name] ?? whole
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  return code <= 0x10ffff ? String.fromCodePoint(code) : whole
}
