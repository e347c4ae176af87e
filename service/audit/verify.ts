import type { Storage } from '../../lib/storage/storage.ts'
import { type Anchor, readAnchor } from './anchors.ts'
import { hashOf, NO_HASH, readHeader, readLink } from './chain.ts'
import { type AuditFile, auditFiles, linesOf } from './read.ts'

/** What is wrong with a chain. */
export interface ChainProblem {
  /**
   * `altered`: a line does not follow from the one before, or is none; `unlinked`: a file goes on where no other one has been, so that
   * files before it are missing; `cut`: an anchor is farther than the chain goes; `differs`: an anchor has another line;
   * `gone`: an anchor's chain is not there.
   */
  readonly what: 'altered' | 'unlinked' | 'cut' | 'differs' | 'gone'
  readonly file?: string
  /** From 1. */
  readonly line?: number
  /** Of the anchor's entry. */
  readonly n?: number
}

export interface ChainReport {
  readonly chain: string
  readonly files: number
  readonly entries: number
  /** Lines whose write was given up and done again: their calls were not answered, or went forward. */
  readonly superseded: number
  /** Files whose last line has no end, as a crash leaves it. */
  readonly torn: number
  readonly first: string | null
  readonly last: string | null
  readonly anchors: number
  /** Entries after the last anchor, which nothing guards but the chain. */
  readonly unanchored: number
  readonly problems: readonly ChainProblem[]
}

export interface AuditReport {
  readonly status: 'whole' | 'broken'
  readonly entries: number
  /** Of all chains. Where there are no anchors at all, every entry. */
  readonly unanchored: number
  /** Lines of the anchors' place that are none. */
  readonly unreadable_anchors: number
  readonly chains: readonly ChainReport[]
}

/**
 * Checks a whole record: each file's lines, the files of a chain against each other, and the chains against their anchors. Files are
 * read a piece at a time.
 * @param anchors location of a file, or of a folder (with a slash at its end) of objects; undefined: the chains alone
 * @throws PseudolakeError `input/not-found`, `audit/unsupported`, `storage/*`
 */
export async function checkAudit(storage: Storage, folder: string, anchors: string | undefined): Promise<AuditReport> {
  const files = await auditFiles(storage, folder)
  const read = anchors === undefined ? { anchors: [], unreadable: 0 } : await readAnchors(storage, anchors)
  const byChain = new Map<string, { files: AuditFile[]; anchors: Anchor[] }>()
  const chainOf = (id: string) => {
    const known = byChain.get(id) ?? { files: [], anchors: [] }
    byChain.set(id, known)
    return known
  }
  // Version 1 named no chain: what goes on where another one ended is told by the hashes alone.
  for (const file of files) chainOf(file.header?.chain ?? '').files.push(file)
  for (const anchor of read.anchors) chainOf(anchor.chain).anchors.push(anchor)
  const chains: ChainReport[] = []
  for (const [id, { files, anchors }] of byChain) chains.push(await checkChain(storage, id, files, anchors))
  const sum = (of: (chain: ChainReport) => number) => chains.reduce((total, chain) => total + of(chain), 0)
  return {
    status: chains.every(({ problems }) => problems.length === 0) ? 'whole' : 'broken',
    entries: sum(({ entries }) => entries),
    unanchored: sum(({ unanchored }) => unanchored),
    unreadable_anchors: read.unreadable,
    chains,
  }
}

interface Fork {
  /** Of the file, up to the line. */
  readonly entries: number
  /** Of the chain, up to the line; undefined in version 1. */
  readonly n: number | undefined
}

/** What was found in one file. */
interface Walked {
  readonly file: AuditFile
  /** Lines that another file goes on from, by their hash. */
  readonly forks: ReadonlyMap<string, Fork>
  readonly entries: number
  readonly torn: boolean
  readonly first: string | undefined
  readonly last: string | undefined
  readonly lastN: number
}

async function checkChain(
  storage: Storage,
  chain: string,
  files: readonly AuditFile[],
  anchors: readonly Anchor[],
): Promise<ChainReport> {
  const problems: ChainProblem[] = []
  const awaited = new Set(files.flatMap(({ header }) => (header ? [header.previous] : [])))
  const open = new Map(anchors.map((anchor) => [`${anchor.n} ${anchor.hash}`, anchor]))
  const walked: Walked[] = []
  for (const file of files) walked.push(await walk(storage, file, awaited, open, problems))

  let superseded = 0
  const standing = new Map<string, Walked>()
  for (const one of walked) {
    const previous = one.file.header?.previous ?? NO_HASH
    if (previous === NO_HASH) continue
    // The last of several files that go on from one line stands: the tries before it were given up.
    superseded += standing.get(previous)?.entries ?? 0
    standing.set(previous, one)
  }
  for (const [previous, { file }] of standing) {
    const before = walked.find(({ forks }) => forks.has(previous))
    const fork = before?.forks.get(previous)
    if (!before || !fork) problems.push({ what: 'unlinked', file: file.location, line: 1 })
    else if (fork.n !== file.header?.n) problems.push({ what: 'altered', file: file.location, line: 1 })
    else superseded += before.entries - fork.entries
  }
  const stands = (one: Walked) => {
    const previous = one.file.header?.previous ?? NO_HASH
    return previous === NO_HASH || standing.get(previous) === one
  }
  const lastN = walked.filter(stands).reduce((most, one) => Math.max(most, one.lastN), 0)
  const lastAnchor = anchors.reduce((most, { n }) => Math.max(most, n), -1)
  for (const { n } of open.values())
    problems.push({ what: files.length === 0 ? 'gone' : n > lastN ? 'cut' : 'differs', n })
  const entries = walked.reduce((sum, one) => sum + one.entries, 0) - superseded
  const times = walked.flatMap(({ first, last }) => (first && last ? [first, last] : [])).sort()
  return {
    chain,
    files: files.length,
    entries,
    superseded,
    torn: walked.filter(({ torn }) => torn).length,
    first: times[0] ?? null,
    last: times.at(-1) ?? null,
    anchors: anchors.length,
    unanchored: lastAnchor < 0 ? entries : Math.max(0, lastN - lastAnchor),
    problems,
  }
}

/** @param open anchors that no line was found for yet; those that are found are taken out */
async function walk(
  storage: Storage,
  file: AuditFile,
  awaited: ReadonlySet<string>,
  open: Map<string, Anchor>,
  problems: ChainProblem[],
): Promise<Walked> {
  const forks = new Map<string, Fork>()
  let hash: string | undefined
  let n = file.header?.n
  let line = 0
  let entries = 0
  let torn = false
  let altered = false
  let first: string | undefined
  let last: string | undefined
  for await (const { bytes, ended } of linesOf(storage, file.location, file.bytes)) {
    line++
    if (!ended) {
      torn = true
      break
    }
    const text = Buffer.from(bytes).toString('utf8')
    const link = line === 1 ? undefined : readLink(text)
    const previous = line === 1 ? readHeader(text)?.previous : link?.previous
    const follows =
      line === 1 || (link !== undefined && link.previous === hash && (n === undefined || link.n === n + 1))
    // The first place of each file: where more was changed, there may be more of them than anybody reads.
    if (!altered && (previous === undefined || !follows)) {
      problems.push({ what: 'altered', file: file.location, line })
      altered = true
    }
    // From what stands there on: an anchor behind a change is about a line of its own.
    hash = hashOf(bytes)
    if (link) {
      n = link.n
      entries++
      first ??= link.time
      last = link.time
    }
    if (awaited.has(hash)) forks.set(hash, { entries, n: file.header?.n === undefined ? undefined : n })
    open.delete(`${n ?? 0} ${hash}`)
  }
  return { file, forks, entries, torn, first, last, lastN: n ?? 0 }
}

async function readAnchors(
  storage: Storage,
  place: string,
): Promise<{ readonly anchors: readonly Anchor[]; readonly unreadable: number }> {
  const anchors: Anchor[] = []
  let unreadable = 0
  const objects = place.endsWith('/') ? storage.list(place) : [await storage.stat(place)]
  for await (const { location, bytes } of objects)
    for await (const line of linesOf(storage, location, bytes)) {
      if (line.bytes.length === 0) continue
      const anchor = readAnchor(Buffer.from(line.bytes).toString('utf8'))
      if (anchor) anchors.push(anchor)
      else unreadable++
    }
  return { anchors, unreadable }
}

/** Checks one file's chain. @returns the number of entries, or the number of the first line that does not follow from those before */
export function verifyAudit(text: string): { readonly entries: number } | { readonly brokenAtLine: number } {
  const lines = text.split('\n')
  if (lines.pop() !== '') return { brokenAtLine: lines.length + 1 }
  let hash: string | undefined
  for (const [i, line] of lines.entries()) {
    const previous = readLink(line)?.previous ?? readHeader(line)?.previous
    if (previous === undefined || (hash !== undefined && previous !== hash)) return { brokenAtLine: i + 1 }
    hash = hashOf(line)
  }
  return { entries: lines.length - 1 }
}
