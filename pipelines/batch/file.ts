/** One input file to one data file. */
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import { planRewrite } from '../../lib/parquet/plan.ts'
import { rewrite } from '../../lib/parquet/rewrite.ts'
import { scanTexts } from '../../lib/parquet/scan.ts'
import { type LeafNode, pathKey } from '../../lib/parquet/schema.ts'
import type { WrittenFile } from '../../lib/parquet/written.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Gate } from './gate/gate.ts'
import { gateFile } from './gate/open.ts'
import type { Pinned } from './identities.ts'
import type { InputFile } from './inputs.ts'
import { type Replacer, replacer } from './replacer.ts'
import type { Shape } from './shape.ts'
import type { Timings } from './timings.ts'
import { checksummed } from './unpublished.ts'

export interface FileWork {
  readonly storage: Storage
  readonly file: ParquetFile
  readonly input: InputFile
  readonly shape: Shape
  readonly pinned: readonly Pinned[]
  readonly client: Pseudonymizer
  readonly fieldIds: (path: readonly string[]) => number
  /** Where the data file goes; there must be none. */
  readonly output: string
  readonly createdBy: string
  /** Bytes of distinct values that may be gathered before the file is rewritten; the rest is asked for on the way. */
  readonly gatherBytes: number
  readonly signal: AbortSignal
  readonly timings: Timings
  readonly gate: Gate
  readonly onProgress: (done: { readonly rows: number; readonly bytes: number }) => void
}

export interface Rewritten {
  readonly file: WrittenFile
  /** Of the bytes that were written. */
  readonly crc32: number
}

/**
 * Gathers the file's distinct values and has them pseudonymized in full requests, then rewrites it with what the client now knows.
 * @returns undefined for a file without rows: there is nothing to list in a table
 * @throws PseudolakeError of lib/parquet, the client and the storage, `gate/failed`; nothing is left at `output` then
 */
export async function rewriteFile(work: FileWork): Promise<Rewritten | undefined> {
  const { storage, file, shape, input, signal } = work
  if (file.rows === 0) return undefined
  const replacers = replacersOf(work)
  const writer = checksummed(await storage.write(work.output))
  try {
    for (const [leaf, replace, deterministic] of replacers.values())
      if (deterministic) await work.timings.time('pseudonymize', () => gather(work, leaf, replace))
    const values = new Map(input.partitions)
    const constants = []
    for (const { key, as, rule } of shape.partitions) {
      const value = values.get(key) ?? null
      const known = work.pinned.find((pin) => pin.rule === rule)
      const replaced =
        rule && known && value !== null
          ? ((await replacer(rule, known.identity.key, work.client)([value], signal))[0] ?? null)
          : value
      constants.push({ name: as, value: replaced, replaced: rule !== undefined })
    }
    const plan = planRewrite(file, shape.treatments, { fieldIds: work.fieldIds, constants, renames: shape.renames })
    const provenance = work.gate.provenance()
    const written = await rewrite(plan, {
      storage,
      file,
      writer,
      createdBy: work.createdBy,
      signal,
      provenance,
      onProgress: work.onProgress,
      replace: async (column, texts) => {
        const found = replacers.get(pathKey(column.path))
        if (!found) throw new PseudolakeError('internal/bug', `no rule for column ${column.path.join('.')}`, {})
        return found[1](texts, signal)
      },
    })
    const { pinned, output } = work
    await work.timings
      .time('gate', () => gateFile(work.gate, { file, input, shape, pinned, plan, output, provenance }))
      .catch(async (error: unknown) => {
        await storage.delete(output)
        throw error
      })
    return { file: written, crc32: writer.crc32 }
  } finally {
    await writer.abort()
  }
}

function replacersOf({ shape, pinned, client }: FileWork): Map<string, [LeafNode, Replacer, boolean]> {
  const found = new Map<string, [LeafNode, Replacer, boolean]>()
  for (const decision of shape.decisions) {
    if (decision.kind !== 'replace') continue
    const { rule, leaf } = decision
    const pin = pinned.find((candidate) => candidate.rule === rule)
    found.set(pathKey(leaf.path), [leaf, replacer(rule, pin?.identity.key, client), rule.mode === 'deterministic'])
  }
  return found
}

/**
 * Requests are full when the values of the whole file are known first; a row group alone would end each time with a request of a few.
 * Stops where the client's cache could no longer hold what is asked now until the rewriting needs it: asking twice is dearer.
 */
async function gather(work: FileWork, leaf: LeafNode, replace: Replacer): Promise<void> {
  const { storage, file, signal, gatherBytes } = work
  const seen = new Set<string>()
  let fresh: string[] = []
  let bytes = 0
  for await (const { texts } of scanTexts(storage, file, leaf, { signal })) {
    for (const text of texts) {
      if (seen.has(text)) continue
      seen.add(text)
      fresh.push(text)
      bytes += pairBytes(text)
      if (bytes > gatherBytes) break
    }
    if (fresh.length >= FLUSH_VALUES || bytes > gatherBytes) {
      // Whole requests only; the rest waits for more.
      const whole = bytes > gatherBytes ? fresh.length : fresh.length - (fresh.length % FLUSH_VALUES)
      await replace(fresh.slice(0, whole), signal)
      fresh = fresh.slice(whole)
    }
    if (bytes > gatherBytes) return
  }
  if (fresh.length > 0) await replace(fresh, signal)
}

/** Values asked for at a time while gathering: twenty requests of the default size. */
const FLUSH_VALUES = 18_000

/** What a value and its pseudonym take in the client's cache: two bytes a character, base64 of 28 bytes more, and V8's own. */
function pairBytes(text: string): number {
  return 2 * (text.length + (4 / 3) * (text.length + 28) + 8) + PAIR_OVERHEAD_BYTES
}
const PAIR_OVERHEAD_BYTES = 200
