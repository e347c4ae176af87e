/**
 * Column pins: what a table was made with, kept as its properties. A table whose rows were made with two keys still reads well and joins
 * nothing, so a run that would do that stops before it writes. Pure.
 */
import { createHash } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../lib/core/errors.ts'
import type { ColumnRule } from './batch/job.ts'
import { NEWER_HINT } from './marks.ts'

const PIN_VERSION = 1
const PREFIX = 'pseudolake.column.'
const APPROVED = 'pseudolake.columns'

export interface KeyIdentity {
  readonly format: 'original' | 'v2'
  /** Echo of the service; missing where it sends none. */
  readonly key: string | undefined
  /** First 16 hex digits of SHA-256 over the deterministic pseudonym of a constant (lib/client/key-check.ts). */
  readonly check: string
}

export interface ColumnPin extends KeyIdentity {
  /** The input's column. */
  readonly from: string
  readonly mode: string
  readonly domain: string
  readonly normalize: readonly string[]
  /** First 16 hex digits of SHA-256 over the list, none for an empty one: what a cell held has no place in a property. */
  readonly nullValues: string
}

/** @param column name of the table's column, dotted */
export function pinProperty(column: string): string {
  return `${PREFIX}${column}`
}

export function pinOf(rule: ColumnRule, identity: KeyIdentity): ColumnPin {
  const { format, key, check } = identity
  return {
    from: rule.name,
    mode: rule.mode,
    format,
    domain: rule.domain,
    key,
    normalize: rule.normalize,
    nullValues: rule.nullValues.length === 0 ? 'none' : digest(rule.nullValues),
    check,
  }
}

function digest(list: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(list)).digest('hex').slice(0, 16)
}

export function writePin(pin: ColumnPin): string {
  return JSON.stringify({ version: PIN_VERSION, ...pin })
}

/** @throws PseudolakeError `table/key-changed` for a pin of a newer version or another form: what it protects is not known then */
export function readPin(properties: Readonly<Record<string, string>>, column: string): ColumnPin | undefined {
  const text = properties[pinProperty(column)]
  if (text === undefined) return undefined
  let newer = false
  try {
    const pin = JSON.parse(text) as ColumnPin & { version: number }
    newer = pin.version > PIN_VERSION
    if (pin.version === PIN_VERSION && typeof pin.check === 'string') return pin
  } catch {
    // Not JSON is as unreadable as another version.
  }
  throw new PseudolakeError(
    'table/key-changed',
    `property ${pinProperty(column)} is not a pin that this version reads`,
    { property: pinProperty(column), column, ...(newer && { newer, hint: NEWER_HINT }) },
  )
}

/** As `readPin`, where a pin that is none has been accepted as a break, or is told of elsewhere. */
export function readablePin(properties: Readonly<Record<string, string>>, column: string): ColumnPin | undefined {
  try {
    return readPin(properties, column)
  } catch (error) {
    if (!isPseudolakeError(error, 'table/key-changed') || error.context.newer === true) throw error
    return undefined
  }
}

/** The columns that a table has pins of, each with its pin where it can be read. */
export function pinnedColumnsOf(
  properties: Readonly<Record<string, string>>,
): { readonly column: string; readonly pin: ColumnPin | undefined }[] {
  return Object.keys(properties).flatMap((name) => {
    if (!name.startsWith(PREFIX)) return []
    const column = name.slice(PREFIX.length)
    return [{ column, pin: readablePin(properties, column) }]
  })
}

/**
 * @param hints the ways on: with the same table, and with a new one
 * @throws PseudolakeError `table/key-changed`, saying what differs: names and ids, never keys; `table/schema-changed` where the mode does,
 *   which makes another column, and which no word of the caller lets into the same table
 */
export function checkPin(column: string, pinned: ColumnPin, now: ColumnPin, hints: PinHints): void {
  const differs = (['check', 'mode', 'domain', 'format', 'normalize', 'nullValues'] as const).filter(
    (field) => JSON.stringify(pinned[field]) !== JSON.stringify(now[field]),
  )
  if (differs.length === 0) return
  const said = differs.map((field) =>
    field === 'check'
      ? 'the key (the service makes other pseudonyms)'
      : field === 'nullValues'
        ? 'null_values'
        : `${field} (table: ${[pinned[field]].flat().join(', ') || 'none'}; now: ${[now[field]].flat().join(', ') || 'none'})`,
  )
  const anew = differs.includes('mode')
  throw new PseudolakeError(
    anew ? 'table/schema-changed' : 'table/key-changed',
    `column ${column}: ${said.join('; ')} is not what the table was made with; equal values would no longer join`,
    { column, differs, hint: anew ? hints.newTable : acceptHint(hints.command) },
  )
}

/** What goes on where a pin stops a run. */
export interface PinHints {
  /** What the caller typed; undefined where it has no way to accept another key. */
  readonly command: string | undefined
  readonly newTable: string
}

export function acceptHint(command: string | undefined): string {
  const own = 'Use the key and settings the table was made with'
  return command === undefined ? `${own}.` : `${own}, or accept the break: ${command} --allow-key-change`
}

/** The properties that say how a table's columns were made. */
export function pinsAndApproved(properties: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(properties)
    .filter(([name]) => name.startsWith(PREFIX) || name === APPROVED)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The approved columns of the input, what becomes of each, and the type it comes out as; pinned at the first run. */
export type Approved = Readonly<
  Record<
    string,
    {
      readonly fate: string
      readonly type?: string
      /** It came later (schema_changes: add), so that older files may lack it. */
      readonly added?: true
    }
  >
>

export function writeApproved(approved: Approved): Record<string, string> {
  return { [APPROVED]: JSON.stringify({ version: PIN_VERSION, columns: approved }) }
}

export function readApproved(properties: Readonly<Record<string, string>>): Approved | undefined {
  const text = properties[APPROVED]
  if (text === undefined) return undefined
  try {
    const read = JSON.parse(text) as { version: number; columns: Approved }
    if (read.version === PIN_VERSION && typeof read.columns === 'object') return read.columns
  } catch {
    // Not JSON is as unreadable as another version.
  }
  throw new PseudolakeError('table/schema-changed', `property ${APPROVED} is not of a form that this version reads`, {
    property: APPROVED,
  })
}
