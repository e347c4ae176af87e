/** Files as a faulty writer would leave them, for the gate to find. */
import { createHash } from 'node:crypto'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import { serializeFooter, type WrittenRowGroup } from '../../lib/parquet/footer.ts'
import { type Gathered, Gathering } from '../../lib/parquet/gather.ts'
import { openParquet, type ParquetFile } from '../../lib/parquet/open.ts'
import { planRewrite, type RewritePlan } from '../../lib/parquet/plan.ts'
import { Replacements } from '../../lib/parquet/replacements.ts'
import { rewrite } from '../../lib/parquet/rewrite.ts'
import { type LeafNode, pathKey } from '../../lib/parquet/schema.ts'
import { put, readStruct, struct, type ThriftStruct, writeStruct } from '../../lib/parquet/thrift.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ObjectWriter, Storage } from '../../lib/storage/storage.ts'
import type { GateReport } from '../../pipelines/batch/gate/check.ts'
import { Gate, type GateOptions, type GateRule } from '../../pipelines/batch/gate/gate.ts'

/** Well-formed, and holds nothing of the value. */
export function pseudonym(text: string): string {
  return `p2.test.${createHash('sha256').update(text).digest('base64url')}`
}

export interface Planted {
  /** What is really written, where it is not the input. */
  readonly other?: Uint8Array
  readonly replace?: (texts: readonly string[]) => (string | null)[]
  /** Changes what was written. */
  readonly tamper?: (bytes: Buffer) => Uint8Array | Promise<Uint8Array>
  /** Columns that are really copied. */
  readonly forgotten?: readonly string[]
  /** Mode random is really written as deterministic. */
  readonly shared?: boolean
  readonly options?: Partial<GateOptions>
  readonly client?: Pseudonymizer
  /** Answers of the storage are late: chunks are looked at on their way to it. What `tamper` changes was changed before they were on it. @default false */
  readonly late?: boolean
  /** As `tamper`, of what the storage has in the end. */
  readonly spoil?: (bytes: Buffer) => Uint8Array
  /** The gate is handed what was read of the input's dictionaries before, as a run hands it over. @default true */
  readonly gathered?: boolean
  /** The files are written as a run writes them: with tables that they share, and what was read of their dictionaries before. @default false */
  readonly asRun?: boolean
  /** With `asRun`: each file is written once before, and given up: nobody looks at it. */
  readonly givenUp?: boolean
  /** With `asRun`: called after each row group, with the tables that the rewriting has. */
  readonly onRowGroup?: (group: number, tables: Replacements) => void
  /** With `asRun`: what the rewriting is given in the place of what was read of a row group's dictionary. */
  readonly mistaken?: (known: Gathered) => Gathered
}

export type Rules = Readonly<Record<string, Partial<GateRule['rule']>>>

const RULE: GateRule['rule'] = { mode: 'deterministic', domain: 'default', normalize: [], nullValues: [] }

/** Writes files and holds them to what the gate looks for. @returns the names of the failed checks, and the report */
export async function gated(
  inputs: Uint8Array | readonly Uint8Array[],
  rules: Rules,
  planted: Planted = {},
): Promise<{ failed: string[]; report: GateReport; code: string | undefined }> {
  const storage = planted.late ? late(memoryStorage()) : memoryStorage()
  const signal = new AbortController().signal
  const gate = new Gate({
    storage,
    signal,
    full: false,
    maxMatchRatio: 0.01,
    reidentify: false,
    memoryBytes: 8 << 20,
    seed: 7,
    ...planted.options,
  })
  const tables = new Replacements({
    columns: 2,
    replace: async (_, texts) => (planted.replace ?? ((all) => all.map(pseudonym)))(texts),
  })
  const columns = Object.entries(rules).map(([name, rule]) => [pathKey(name.split('.')), { ...RULE, ...rule }] as const)
  let code: string | undefined
  try {
    for (const [i, bytes] of (inputs instanceof Uint8Array ? [inputs] : inputs).entries()) {
      const open = async (location: string, content: Uint8Array): Promise<ParquetFile> =>
        openParquet(storage, await storage.create(location, content))
      const plan = (file: ParquetFile, forgotten: readonly string[] = [], shared = false) =>
        planRewrite(
          file,
          new Map(
            columns.flatMap(([key, rule]) => {
              const path = JSON.parse(key) as string[]
              if (forgotten.includes(path.join('.'))) return []
              const perCell = rule.mode === 'random' && !shared
              return [
                [
                  key,
                  { kind: 'replace' as const, as: path.at(-1) ?? '', perCell, nullable: rule.nullValues.length > 0 },
                ],
              ]
            }),
          ),
          { fieldIds: fieldIds() },
        )
      const input = await open(`memory:/in-${i}.parquet`, bytes)
      const real = planted.other ? await open(`memory:/other-${i}.parquet`, planted.other) : input
      const provenance = gate.provenance()
      const output = `memory:/out-${i}.parquet`
      const named = new Map(columns.map(([key, rule]) => [key, { rule, key: undefined }]))
      const planned = plan(input)
      const ofReal = planted.asRun ? await gathered(storage, real, plan(real), tables) : undefined
      const ofInput = ofReal && real === input ? ofReal : await gathered(storage, input, planned)
      const known = planted.gathered === false ? undefined : knownOf(ofInput)
      const work = { input, plan: planned, output, provenance, rules: named, constants: new Map(), known }
      if (ofReal && planted.givenUp)
        await rewrite(plan(real), {
          storage,
          file: real,
          writer: await storage.write(`memory:/given-up-${i}.parquet`),
          createdBy: 'test',
          provenance: gate.provenance(),
          gathering: mistaken(ofReal, undefined),
          replace: tables,
        })
      const stored = await storage.write(output)
      const handed = await gate.handed(work, stored)
      let cell = 0
      await rewrite(plan(real, planted.forgotten, planted.shared), {
        storage,
        file: real,
        writer: handed ? tampered(handed.writer, planted.tamper) : stored,
        createdBy: 'test',
        provenance,
        onRowGroup: async (written, group) => {
          await gate.rowGroup({ ...work, handed }, written, group)
          planted.onRowGroup?.(group, tables)
        },
        ...(ofReal && { gathering: mistaken(ofReal, planted.mistaken) }),
        replace: ofReal
          ? tables
          : async (leaf, texts) => {
              const rule = columns.find(([key]) => key === pathKey(leaf.path))?.[1] ?? RULE
              if (planted.replace) return planted.replace(texts)
              return texts.map((text) =>
                rule.nullValues.includes(text)
                  ? null
                  : pseudonym(
                      rule.normalize.includes('upper')
                        ? text.toUpperCase()
                        : rule.mode === 'random'
                          ? `${i} ${cell++}`
                          : text,
                    ),
              )
            },
      })
      const changed = handed ? planted.spoil : (planted.tamper ?? planted.spoil)
      if (changed) await storage.replace(output, await changed(Buffer.from(await storage.read(output))))
      await gate.file({ ...work, handed })
    }
    await gate.step(planted.client)
  } catch (error) {
    if (!isPseudolakeError(error)) throw error
    code = error.code
  }
  const report = gate.report()
  return { failed: report.checks.filter(({ passed }) => !passed).map(({ name }) => name), report, code }
}

/** Each request is worth sparing. */
function late(storage: Storage): Storage {
  return {
    ...storage,
    reads: () => ({ gapBytes: 1 << 10, requestBytes: 1 << 20, underWay: 4, aheadBytes: 4 << 20 }),
  }
}

/** A writer that is given another file than the rewriting made; where nothing is changed, it is given that at once. */
function tampered(writer: ObjectWriter, tamper: Planted['tamper']): ObjectWriter {
  if (!tamper) return writer
  const pieces: Uint8Array[] = []
  return {
    get bytes() {
      return pieces.reduce((sum, piece) => sum + piece.length, 0)
    },
    async write(bytes) {
      pieces.push(new Uint8Array(bytes))
    },
    async close() {
      await writer.write(await tamper(Buffer.concat(pieces)))
      return writer.close()
    },
    abort: () => writer.abort(),
  }
}

/** What a run reads of the dictionaries of an input before it is rewritten, by position of the column in the output. */
async function gathered(storage: Storage, file: ParquetFile, plan: RewritePlan, tables?: Replacements) {
  const replacements =
    tables ?? new Replacements({ columns: plan.columns.length, replace: async (_, texts) => texts.map(pseudonym) })
  const found = new Map<number, { readonly leaf: LeafNode; readonly gathering: Gathering }>()
  for (const [i, column] of plan.columns.entries()) {
    const { source: leaf, replaced, perCell } = column
    if (!leaf || !replaced || perCell) continue
    const replacement = replacements.of({ ...column, source: leaf })
    const gathering = new Gathering({ storage, file, leaf, replacement, flush: 900 })
    await gathering.upTo(0)
    found.set(i, { leaf, gathering })
  }
  return found
}

type Found = Awaited<ReturnType<typeof gathered>>

function knownOf(found: Found) {
  return ({ column }: LeafNode, rowGroup: number) =>
    [...found.values()].find(({ leaf }) => leaf.column === column)?.gathering.known.get(rowGroup)
}

/** What the rewriting is given of it. */
function mistaken(found: Found, change: Planted['mistaken']): ReadonlyMap<number, Gathering> {
  return new Map(
    [...found].map(([i, { gathering }]) => [
      i,
      change ? ({ upTo: async () => {}, known: change(gathering.known) } as unknown as Gathering) : gathering,
    ]),
  )
}

function fieldIds(): () => number {
  let id = 0
  return () => ++id
}

/** The file with its row groups' metadata changed, and nothing else. */
export async function withFooter(
  bytes: Buffer,
  change: (groups: WrittenRowGroup[]) => WrittenRowGroup[],
): Promise<Buffer> {
  const storage = memoryStorage()
  const file = await openParquet(storage, await storage.create('memory:/x.parquet', bytes))
  const groups = file.rowGroups.map(({ rows, columns }) => ({
    rows,
    chunks: columns.map((chunk, i) => ({ ...chunk, leaf: file.leaves[i] as (typeof file.leaves)[number] })),
  }))
  const data = bytes.subarray(0, bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8))
  return Buffer.concat([data, serializeFooter(file.root, change(groups), 'test')])
}

/** The first data page of a column's first chunk with a value in its header's statistics. */
export async function withPageStatistics(bytes: Buffer, column: number, value: string): Promise<Buffer> {
  const storage = memoryStorage()
  const file = await openParquet(storage, await storage.create('memory:/x.parquet', bytes))
  const at = file.rowGroups[0]?.columns[column]?.dataPageOffset ?? 0
  const { value: page, end } = readStruct(bytes, at)
  const header = new Map(page)
  const data = new Map(page.get(5)?.value as ThriftStruct)
  data.set(5, { type: 12, value: struct({ 6: put.bytes(Buffer.from(value)) }) })
  header.set(5, { type: 12, value: data })
  const head = writeStruct(header)
  const more = head.length - (end - at)
  const longer = Buffer.concat([bytes.subarray(0, at), head, bytes.subarray(end)])
  const moved = (offset: number) => (offset > at ? offset + more : offset)
  // The old footer is still at the end; it is read for its own offsets, and replaced by one with the new ones.
  const data_ = longer.subarray(0, longer.length - 8 - longer.readUInt32LE(longer.length - 8))
  const groups = file.rowGroups.map(({ rows, columns }) => ({
    rows,
    chunks: columns.map(({ dictionaryPageOffset, ...chunk }, i) => ({
      ...chunk,
      leaf: file.leaves[i] as (typeof file.leaves)[number],
      start: moved(chunk.start),
      end: moved(chunk.end),
      dataPageOffset: moved(chunk.dataPageOffset),
      ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: moved(dictionaryPageOffset) }),
    })),
  }))
  return Buffer.concat([data_, serializeFooter(file.root, groups, 'test')])
}

/** Puts one text in the place of another of its length, where it stands first behind `from`. */
export function overwritten(bytes: Buffer, text: string, other: string, from = 0): Buffer {
  const at = bytes.indexOf(text, from)
  if (at < 0 || text.length !== other.length) throw new Error('there is nothing to overwrite')
  const changed = Buffer.from(bytes)
  changed.write(other, at)
  return changed
}
