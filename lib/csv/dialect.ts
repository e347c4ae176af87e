/** How a CSV file is written. Pure. */
import { PseudolakeError } from '../core/errors.ts'

export const CSV_ENCODINGS = ['utf-8', 'utf-16', 'utf-16le', 'utf-16be', 'latin1', 'windows-1252'] as const
export type CsvEncoding = (typeof CSV_ENCODINGS)[number]

/** As people write them. */
export const CSV_ENCODING_NAMES: Readonly<Record<string, CsvEncoding>> = {
  'utf-8': 'utf-8',
  utf8: 'utf-8',
  'utf-16': 'utf-16',
  utf16: 'utf-16',
  'utf-16le': 'utf-16le',
  'utf-16be': 'utf-16be',
  latin1: 'latin1',
  'latin-1': 'latin1',
  'iso-8859-1': 'latin1',
  'windows-1252': 'windows-1252',
  cp1252: 'windows-1252',
}

export interface CsvDialect {
  /** The first record has the names; or these are the names; or columns are called `_c0`, `_c1` …, as Spark calls them. */
  readonly header: boolean | readonly string[]
  /** One ASCII character. */
  readonly delimiter: string
  /** One ASCII character, doubled inside a quoted field; empty where nothing is quoted. */
  readonly quote: string
  /** `utf-16` by its byte order mark, little-endian without one. A mark of the file’s own encoding is left out. */
  readonly encoding: CsvEncoding
}

export const DEFAULT_DIALECT: CsvDialect = { header: true, delimiter: ',', quote: '"', encoding: 'utf-8' }

/** What a configuration says of it; the rest is as usual. `\\t` and `tab` are a tab, which is hard to see otherwise. */
export interface CsvSettings {
  readonly header?: boolean | readonly string[] | undefined
  readonly delimiter?: string | undefined
  readonly quote?: string | undefined
  readonly encoding?: string | undefined
}

/** @throws PseudolakeError `config/invalid` naming the key below `path` */
export function csvDialect({ header, delimiter, quote, encoding }: CsvSettings, path: string): CsvDialect {
  return checked(
    {
      header: header ?? DEFAULT_DIALECT.header,
      delimiter: delimiter === '\\t' || delimiter === 'tab' ? '\t' : (delimiter ?? DEFAULT_DIALECT.delimiter),
      quote: quote ?? DEFAULT_DIALECT.quote,
      encoding: CSV_ENCODING_NAMES[(encoding ?? '').toLowerCase()] ?? DEFAULT_DIALECT.encoding,
    },
    path,
  )
}

function checked(dialect: CsvDialect, path: string): CsvDialect {
  const { delimiter, quote, header } = dialect
  const invalid = (key: string, expected: string) =>
    new PseudolakeError('config/invalid', `${path}.${key}: expected ${expected}`, { key: `${path}.${key}` })
  if (!isAsciiCharacter(delimiter)) throw invalid('delimiter', 'one ASCII character that ends no line')
  if (quote !== '' && !isAsciiCharacter(quote))
    throw invalid('quote', 'one ASCII character that ends no line, or nothing')
  if (quote === delimiter) throw invalid('quote', 'another character than the delimiter')
  if (Array.isArray(header)) {
    if (header.length === 0 || header.some((name) => name === '')) throw invalid('header', 'names, none of them empty')
    if (new Set(header).size < header.length) throw invalid('header', 'names that differ')
  }
  return dialect
}

function isAsciiCharacter(text: string): boolean {
  return text.length === 1 && /^[\t\x20-\x7e]$/.test(text)
}
