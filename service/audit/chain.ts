import { createHash } from 'node:crypto'
import type { AuditEntry, Head } from './audit.ts'

/**
 * The lines of a record. A file is a header and entries; the files of one process are one chain, and a header goes on where the file
 * before it ended. Pure.
 *
 *     {"version":2,"chain":"…","started":"…","n":0,"previous":"000…"}
 *     {"n":1,"time":"…", …entry, "previous":"…"}
 *
 * Version 1 had neither chain nor number in its header.
 */
export const VERSION = 2
export const NO_HASH = '0'.repeat(64)

/** Names of a record's files begin and end so. */
export const PREFIX = 'audit-'
export const SUFFIX = '.jsonl'

/** Lines that are about to be written; what comes after follows them only once they are kept. */
export interface Draft {
  /** With a line feed behind each. */
  readonly text: string
  keep(): void
}

export interface TimedEntry {
  readonly time: string
  readonly entry: AuditEntry
}

export interface ChainWriter {
  /** @param started a header goes before the entries, then, as the first line of a file */
  draft(entries: readonly TimedEntry[], started?: string): Draft
  /** Of what was kept. */
  readonly head: Head
}

/** @param chain 16 hex digits, random */
export function chainWriter(chain: string): ChainWriter {
  let previous = NO_HASH
  let head: Head = { chain, n: 0, hash: NO_HASH }
  return {
    get head() {
      return head
    },
    draft(entries, started) {
      let hash = previous
      let { n, hash: headHash } = head
      const lines: string[] = []
      if (started !== undefined) {
        const line = JSON.stringify({ version: VERSION, chain, started, n, previous })
        hash = hashOf(line)
        if (headHash === NO_HASH) headHash = hash
        lines.push(line)
      }
      for (const { time, entry } of entries) {
        const line = JSON.stringify({ n: ++n, time, ...entry, previous: hash })
        hash = hashOf(line)
        headHash = hash
        lines.push(line)
      }
      return {
        text: lines.map((line) => `${line}\n`).join(''),
        keep() {
          previous = hash
          head = { chain, n, hash: headHash }
        },
      }
    },
  }
}

export function hashOf(line: string | Uint8Array): string {
  return createHash('sha256').update(line).digest('hex')
}

export interface Header {
  readonly version: number
  /** Undefined in version 1. */
  readonly chain: string | undefined
  readonly started: string
  /** Entries of the chain before this file; undefined in version 1. */
  readonly n: number | undefined
  readonly previous: string
}

/** Undefined for a line that is no header; a newer version's is one, by its version. */
export function readHeader(line: string): Header | undefined {
  const { version, chain, started, n, previous } = objectOf(line)
  if (typeof version !== 'number' || typeof started !== 'string' || typeof previous !== 'string') return undefined
  if (version === VERSION && (typeof chain !== 'string' || typeof n !== 'number')) return undefined
  return {
    version,
    started,
    previous,
    chain: typeof chain === 'string' ? chain : undefined,
    n: typeof n === 'number' ? n : undefined,
  }
}

/** What ties an entry to the line before. Undefined for a line that is none. */
export function readLink(
  line: string,
): { readonly n: number; readonly time: string; readonly previous: string } | undefined {
  const { n, time, previous } = objectOf(line)
  if (typeof n !== 'number' || typeof time !== 'string' || typeof previous !== 'string') return undefined
  return { n, time, previous }
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
