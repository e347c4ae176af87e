import { keyCheck } from '../../lib/client/key-check.ts'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { acceptHint, type ColumnPin, checkPin, type KeyIdentity, pinnedColumnsOf, pinOf, readPin } from '../pins.ts'
import type { BatchJob, ColumnRule } from './job.ts'
import type { Shape } from './shape.ts'

export interface Pinned {
  readonly rule: ColumnRule
  /** Name in the table, dotted. */
  readonly column: string
  readonly identity: KeyIdentity
}

/**
 * Finds out which keys the service uses, once per domain and key, and holds them against the table's pins. The first requests of a run:
 * a wrong key, a wrong domain or another service must stop it before anything is read.
 *
 * A column of an existing table is pinned to the key version it was made with, so that a rotation in the service changes nothing here.
 * @throws PseudolakeError `table/key-changed`, unless `allowKeyChange`; `service/*`
 */
export async function identify(
  columns: readonly { readonly rule: ColumnRule; readonly column: string }[],
  properties: Readonly<Record<string, string>>,
  client: Pseudonymizer,
  options: {
    readonly allowKeyChange: boolean
    /** What the caller typed; undefined where it has no way to accept another key. */
    readonly command: string | undefined
    /** The way to a new table, which another mode needs. */
    readonly newTable?: string
    readonly signal: AbortSignal
  },
): Promise<Pinned[]> {
  const { command, newTable = 'Set `columns` as they were when the table was made, or write to a new table.' } = options
  const asked = new Map<string, Promise<KeyIdentity>>()
  const ask = (domain: string, key: string | undefined) => {
    const name = `${domain}\0${key ?? ''}`
    const known = asked.get(name) ?? identityOf(client, domain, key, options.signal)
    asked.set(name, known)
    return known
  }
  const pinned: Pinned[] = []
  for (const { rule, column } of columns) {
    const pin = pinFor(column, properties, options)
    const identity = await ask(rule.domain, rule.key ?? (pin?.domain === rule.domain ? pin.key : undefined)).catch(
      (error: unknown) => {
        throw pin?.key !== undefined && rule.key === undefined ? keyGone(error, column, pin.key, command) : error
      },
    )
    if (pin) checkPin(column, pin, pinOf(rule, identity), { command, newTable })
    pinned.push({ rule, column, identity })
  }
  return pinned
}

/** None where the caller lets another key in, whatever the pin says; but what a newer version has written is not overruled. */
function pinFor(
  column: string,
  properties: Readonly<Record<string, string>>,
  { allowKeyChange, command }: { readonly allowKeyChange: boolean; readonly command: string | undefined },
): ColumnPin | undefined {
  try {
    const pin = readPin(properties, column)
    return allowKeyChange ? undefined : pin
  } catch (error) {
    if (!isPseudolakeError(error) || error.context.newer === true) throw error
    if (allowKeyChange) return undefined
    throw new PseudolakeError(error.code, error.message, { ...error.context, hint: acceptHint(command) }, error)
  }
}

async function identityOf(
  client: Pseudonymizer,
  domain: string,
  key: string | undefined,
  signal: AbortSignal,
): Promise<KeyIdentity> {
  const { fingerprint, format, key: echoed } = await keyCheck(client, domain, key, signal)
  return { check: fingerprint, format, key: echoed ?? key }
}

/** A service that does not know the table's key version is another service, or one that has retired it. */
function keyGone(error: unknown, column: string, key: string, command: string | undefined): unknown {
  const refused =
    error instanceof PseudolakeError &&
    ['keyring/unknown-key', 'keyring/unknown-domain', 'service/refused', 'service/bad-answer'].includes(error.code)
  if (!refused) return error
  return new PseudolakeError(
    'table/key-changed',
    `column ${column} was made with key ${key}, and the service does not answer with it`,
    {
      column,
      key,
      hint: acceptHint(command),
    },
    { cause: error },
  )
}

/** The columns of a table that is yet to be made. */
export function newColumns(job: BatchJob): Shape['replaced'] {
  return job.columns.flatMap((rule) => (rule.mode === 'drop' ? [] : [{ rule, column: rule.as ?? `s_${rule.name}` }]))
}

/** The rules whose columns the table has pins for, without a file to look at. */
export function pinnedColumns(job: BatchJob, properties: Readonly<Record<string, string>>): Shape['replaced'] {
  return pinnedColumnsOf(properties).flatMap(({ column, pin }) => {
    const rule = job.columns.find(
      ({ name, mode, as = `s_${name}` }) => mode !== 'drop' && (pin ? name === pin.from : as === column),
    )
    return rule ? [{ rule, column }] : []
  })
}
