/** A replaced column of a file: its chunks are read back one after the other, and held against those that they were made from. */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { OutputColumn } from '../../../lib/parquet/output-tree.ts'
import { type LeafNode, pathKey } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { normalizer } from '../sent.ts'
import type { CheckName, Finding, Tally } from './check.ts'
import { type Entries, isBytes, isPseudonym, KIND, type Reading, textEntries } from './entries.ts'
import type { GateRule } from './part.ts'
import { type ChunkSide, type ReadBack, type ReplacedChunk, readBack } from './replaced.ts'
import type { Group, Seen } from './seen.ts'
import type { GateFile } from './work.ts'

export interface ColumnOptions extends Pick<ReplacedChunk, 'scratch' | 'seed' | 'signal' | 'rangeFrom'> {
  readonly tallies: Readonly<Record<CheckName, Tally>>
  readonly seen: Seen
}

export class ReplacedColumn {
  readonly #work: GateFile
  readonly #options: ColumnOptions
  readonly #source: LeafNode | undefined
  readonly #group: Group
  /** The same for all chunks. */
  readonly #same: Pick<ReplacedChunk, 'constant' | 'reading' | 'perCell'>

  constructor(work: GateFile, { source, leaf }: OutputColumn, options: ColumnOptions) {
    const key = pathKey(source?.path ?? leaf.path)
    const rule = work.rules.get(key)
    if (!rule) throw new PseudolakeError('internal/bug', 'a replaced column without a rule', {})
    const { seen, seed } = options
    const reading = readingOf(rule, source, seen)
    const constant = source ? undefined : constantOf(work.constants.get(key) ?? null, reading, seed)
    const { mode } = rule.rule
    this.#work = work
    this.#options = options
    this.#source = source
    this.#group = seen.group(rule)
    this.#same = {
      ...(constant && { constant }),
      reading,
      perCell: source !== undefined && mode === 'random',
    }
  }

  /**
   * @param inputGroup row group of the input that the chunk was made from
   * @returns where its bodies with positions in a dictionary stand, and whether no more than headers were looked at
   * @throws PseudolakeError `input/*` where output or input cannot be read
   */
  async chunk(
    storage: Storage,
    output: ChunkSide,
    inputGroup: number,
  ): Promise<Pick<ReadBack, 'positions' | 'spared'>> {
    const { tallies, seen, signal, seed, scratch, rangeFrom } = this.#options
    const { headers, pseudonyms, one_to_one: oneToOne, handed_bytes: handedBytes } = tallies
    const { location } = output.file.object
    const source = this.#source
    const { mapping } = this.#group
    const place = { column: output.leaf.path, rowGroup: output.rowGroup }
    const malformed = (entries: Entries, i: number) =>
      pseudonyms.fail(location, [
        { ...place, message: `${(entries.to[i] as number) - (entries.from[i] as number)} bytes that are no pseudonym` },
      ])
    const chunk = source && this.#work.input.rowGroups[inputGroup]?.columns[source.column]
    const found = await readBack({
      ...this.#same,
      storage,
      signal,
      seed,
      scratch,
      output,
      input: source && chunk && { file: this.#work.input, leaf: source, rowGroup: inputGroup, chunk },
      known: source && this.#work.known?.(source, inputGroup),
      judge: seen.judge(this.#group, malformed, source === undefined),
      checkEntries: (entries) => {
        const unseen = new Int32Array(entries.count)
        const count = mapping.unseen(entries, entries.count, unseen)
        for (const i of unseen.subarray(0, count))
          if (entries.kind[i] === KIND.VALUE && !isPseudonym(entries, i)) malformed(entries, i)
      },
      rangeFrom,
    })
    headers.looked({ pages: found.pages })
    headers.fail(
      location,
      found.headers.map((message): Finding => ({ ...place, message })),
    )
    pseudonyms.looked({ chunks: 1, values: found.entries })
    oneToOne.looked({ chunks: 1 })
    if (found.spared) handedBytes.looked({ repeated_dictionaries: 1 })
    if (found.cells !== undefined) oneToOne.fail(location, [{ ...place, message: found.cells }])
    return found
  }
}

function readingOf({ rule }: GateRule, source: LeafNode | undefined, seen: Seen): Reading {
  const plain = source !== undefined && isBytes(source)
  const changes = rule.normalize.length > 0
  return {
    asText: !plain || changes || rule.nullValues.length > 0,
    normalized: normalizer(rule.normalize),
    nulls: new Set(rule.nullValues),
    ...(changes && {
      onRaw: (raw: Entries) => {
        seen.remember(
          raw,
          Int32Array.from({ length: raw.count }, (_, i) => i),
        )
      },
    }),
  }
}

function constantOf(value: string | null, reading: Reading, seed: number): Entries | undefined {
  if (value === null) return undefined
  const entries = textEntries([value], reading, seed)
  return entries.kind[0] === KIND.NULL ? undefined : entries
}
