/**
 * Missing values that the reference's job did not leave missing: it wrote the pseudonym of the text `None`, or of the empty text, in their
 * place. Only who has the key can tell these cells from others: what the two texts become is asked for, looked for, and, if that is wanted,
 * made null in one snapshot. No pseudonym is shown: that of a known text is a piece of the mapping.
 */
import pLimit from 'p-limit'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { LocationSet } from '../../lib/iceberg/location-set.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { currentSchema } from '../../lib/iceberg/metadata.ts'
import { LEFT_ALONE, type LeftAlone } from '../../lib/iceberg/operations/compact-file.ts'
import { nullValues } from '../../lib/iceberg/operations/null-values.ts'
import type { RewriteProgress } from '../../lib/iceberg/operations/rewrite-bins.ts'
import type { OperationContext } from '../../lib/iceberg/operations/snapshot.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { identify } from '../batch/identities.ts'
import type { BatchJob } from '../batch/job.ts'
import { readPin } from '../pins.ts'
import { replacedFields } from './compact.ts'
import { ledgerFiles } from './ledgers.ts'
import { countCells, type LookedFor } from './legacy-cells.ts'
import type { OpenedTable } from './open.ts'

/** What the reference's job took for the value of a missing one. */
const WRONG_TEXTS = ['None', ''] as const

export interface LegacyOptions {
  /** Makes the cells null. @default they are counted */
  readonly repair?: boolean
  /** Counts, and says what a repair would do. @default false */
  readonly plan?: boolean
  readonly runId: string
  readonly createdBy: string
  readonly onLooked?: (looked: { readonly files: number; readonly totalFiles: number; readonly cells: number }) => void
  readonly onRewritten?: (progress: RewriteProgress) => void
}

/** Cells that hold the pseudonym of `None`, and of the empty text. */
export interface WrongCells {
  readonly none: number
  readonly empty: number
}

/** Keys as `--json` prints them; 64-bit ids as strings. */
export interface LegacyReport {
  readonly status: 'clean' | 'needs-a-look' | 'planned' | 'repaired'
  readonly location: string
  readonly snapshot_id: string | null
  /** By name. A column is `key_checked` where the table has a pin that says that the key is the one it was made with. */
  readonly columns: Readonly<Record<string, WrongCells & { readonly domain: string; readonly key_checked: boolean }>>
  /** Files that have such cells, the first 1,000. */
  readonly files: readonly {
    readonly location: string
    readonly rows: number
    readonly columns: Readonly<Record<string, WrongCells>>
  }[]
  readonly files_found: number
  readonly files_looked_at: number
  /** Files that jobs of ours wrote: a text None in those was data. */
  readonly files_of_jobs: number
  /** Of a plan: none yet. */
  readonly files_rewritten: number
  readonly left_alone: Readonly<Partial<Record<LeftAlone, number>>>
  readonly upgraded: boolean
  readonly notes: readonly string[]
}

const KEPT_FILES = 1000
const AT_ONCE = 4

/**
 * @throws PseudolakeError `config/invalid` where no column of the configuration can be looked for; `table/key-changed`; `service/*`,
 *   `keyring/*`; what lib/iceberg's `nullValues` throws; `run/interrupted`
 */
export async function checkLegacy(
  opened: OpenedTable,
  job: BatchJob,
  client: Pseudonymizer,
  options: LegacyOptions,
  context: OperationContext,
): Promise<LegacyReport> {
  try {
    return await check(opened, job, client, options, context)
  } catch (error) {
    if (!context.signal?.aborted || isPseudolakeError(error)) throw error
    throw new PseudolakeError('run/interrupted', 'the search was told to stop; nothing was published', {
      location: opened.state.metadata.location,
    })
  }
}

async function check(
  { catalog, table, state }: OpenedTable,
  job: BatchJob,
  client: Pseudonymizer,
  options: LegacyOptions,
  context: OperationContext,
): Promise<LegacyReport> {
  const { storage } = catalog
  const { metadata } = state
  const signal = context.signal ?? new AbortController().signal
  const columns = await columnsOf({ catalog, table, state }, job, client, signal)
  const own = await ledgerFiles(storage, metadata)
  const found = await lookFor(columns, { catalog, table, state }, own, signal, options.onLooked)
  const notes = notesOf(columns, found)
  let status: LegacyReport['status'] = found.files.length > 0 ? 'needs-a-look' : 'clean'
  let snapshot = metadata['current-snapshot-id']
  const repaired = { files: 0, leftAlone: {} as Partial<Record<LeftAlone, number>>, upgraded: false }
  if (options.plan) status = 'planned'
  else if (options.repair && found.files.length > 0) {
    const ids = new Set(columns.map(({ fieldId }) => fieldId))
    const nulled = new Map(
      columns.map(({ fieldId, texts }) => [
        fieldId,
        (value: Uint8Array) => texts.some((text) => text.length === value.length && Buffer.compare(text, value) === 0),
      ]),
    )
    const { plan, done } = await nullValues(
      catalog,
      table,
      state,
      {
        files: new Set(found.files.map(({ path }) => path)),
        nulled,
        inspect: async (location) => {
          const left = (await countCells(storage, location, columns, signal)).flat().reduce((a, b) => a + b, 0)
          if (left > 0)
            throw new PseudolakeError('gate/failed', `${location}: ${left} cells are not null that should be`, {
              location,
            })
        },
        replaced: (now) => new Set([...replacedFields(now), ...ids]),
        runId: options.runId,
        createdBy: options.createdBy,
        ...(options.onRewritten && { onProgress: options.onRewritten }),
      },
      context,
    )
    Object.assign(repaired, { files: plan.bins.length, leftAlone: plan.leftAlone, upgraded: done?.upgraded ?? false })
    snapshot = done?.snapshotId ?? snapshot
    for (const [why, count] of Object.entries(plan.leftAlone))
      notes.push(`${count} files were left as they are: ${LEFT_ALONE[why as LeftAlone]}`)
    if (Object.keys(plan.leftAlone).length === 0) status = 'repaired'
  }
  return {
    status,
    location: metadata.location,
    snapshot_id: snapshot?.toString() ?? null,
    columns: Object.fromEntries(
      columns.map(({ name, domain, pinned }, i) => [
        name,
        { ...sum(found.files.map((file) => file.cells[i])), domain, key_checked: pinned },
      ]),
    ),
    files: found.files.slice(0, KEPT_FILES).map(({ path, rows, cells }) => ({
      location: storageLocation(path),
      rows,
      columns: Object.fromEntries(
        columns.flatMap(({ name }, i) => (isZero(cells[i]) ? [] : [[name, sum([cells[i]])]])),
      ),
    })),
    files_found: found.files.length,
    files_looked_at: found.looked,
    files_of_jobs: found.own,
    files_rewritten: repaired.files,
    left_alone: repaired.leftAlone,
    upgraded: repaired.upgraded,
    notes,
  }
}

interface LegacyColumn extends LookedFor {
  readonly domain: string
  /** Whether the table has a pin, against which the key was checked. */
  readonly pinned: boolean
}

/** The columns that can be looked at, with what the texts become in them. */
async function columnsOf(
  { state }: OpenedTable,
  job: BatchJob,
  client: Pseudonymizer,
  signal: AbortSignal,
): Promise<LegacyColumn[]> {
  const { metadata } = state
  const fields = currentSchema(metadata).fields
  const asked = job.columns.flatMap((rule) => {
    if (rule.mode !== 'deterministic') return []
    const column = rule.as ?? `s_${rule.name}`
    const field = fields.find(({ name, type }) => name === column && type === 'string')
    return field ? [{ rule, column, field }] : []
  })
  if (asked.length === 0)
    throw new PseudolakeError(
      'config/invalid',
      'none of the configured columns is a text column of the table whose pseudonyms are deterministic: those of mode random differ from cell to cell',
      { location: metadata.location },
    )
  const pinned = await identify(asked, metadata.properties, client, {
    allowKeyChange: false,
    command: undefined,
    signal,
  })
  return Promise.all(
    asked.map(async ({ rule, column, field }, i): Promise<LegacyColumn> => {
      const key = pinned[i]?.identity.key
      const { values } = await client.call({
        direction: 'pseudonymize',
        values: [...WRONG_TEXTS],
        domain: rule.domain,
        deterministic: true,
        fresh: true,
        signal,
        ...(key !== undefined && { key }),
      })
      return {
        fieldId: field.id,
        name: column,
        texts: values.map((value) => Buffer.from(value)),
        domain: rule.domain,
        pinned: readPin(metadata.properties, column) !== undefined,
      }
    }),
  )
}

interface FoundFile {
  readonly path: string
  readonly rows: number
  /** Cells of each text, by column. */
  readonly cells: readonly (readonly number[])[]
  readonly hasDeletes: boolean
}

interface Found {
  readonly files: readonly FoundFile[]
  readonly looked: number
  readonly own: number
}

async function lookFor(
  columns: readonly LegacyColumn[],
  { catalog, state }: OpenedTable,
  ledgers: LocationSet,
  signal: AbortSignal,
  onLooked: LegacyOptions['onLooked'],
): Promise<Found> {
  const { storage } = catalog
  const files: FoundFile[] = []
  const limit = pLimit(AT_ONCE)
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let [looked, own, total, cellsFound] = [0, 0, 0, 0]
  for await (const { file, deletes } of planFiles(storage, state.metadata)) {
    if (failure) break
    signal.throwIfAborted()
    const location = storageLocation(file.path)
    if (ledgers.has(location)) {
      own++
      continue
    }
    total++
    const work = limit(async () => {
      const cells = await countCells(storage, location, columns, signal)
      looked++
      if (!cells.every(isZero)) files.push({ path: file.path, rows: file.rows, cells, hasDeletes: deletes.length > 0 })
      cellsFound += cells.flat().reduce((a, b) => a + b, 0)
      onLooked?.({ files: looked, totalFiles: total, cells: cellsFound })
    })
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => running.delete(work))
    running.add(work)
    if (running.size >= 2 * AT_ONCE) await Promise.race(running)
  }
  await Promise.all(running)
  if (failure) throw failure.error
  return { files: files.sort((a, b) => (a.path < b.path ? -1 : 1)), looked, own }
}

function notesOf(columns: readonly LegacyColumn[], { files, own }: Found): string[] {
  const unpinned = columns.filter(({ pinned }) => !pinned).map(({ name }) => name)
  return [
    ...(unpinned.length > 0
      ? [
          `the table remembers no key for ${unpinned.join(', ')}: where the service has another one than the table was made with, nothing is found`,
        ]
      : []),
    ...(own > 0 ? [`${own} files were written by jobs that keep missing values missing, and were not looked at`] : []),
    ...(files.some(({ hasDeletes }) => hasDeletes) ? ['rows that are marked as deleted are counted'] : []),
  ]
}

function isZero(cells: readonly number[] | undefined): boolean {
  return cells?.every((count) => count === 0) ?? true
}

function sum(all: readonly (readonly number[] | undefined)[]): WrongCells {
  const of = (i: number) => all.reduce((n, cells) => n + (cells?.[i] ?? 0), 0)
  return { none: of(0), empty: of(1) }
}
