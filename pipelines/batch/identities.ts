import { keyCheck } from '../../lib/client/key-check.ts'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { checkPin, type KeyIdentity, pinOf, readPin, readPins } from '../pins.ts'
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
  options: { readonly allowKeyChange: boolean; readonly command: string; readonly signal: AbortSignal },
): Promise<Pinned[]> {
  const asked = new Map<string, Promise<KeyIdentity>>()
  const ask = (domain: string, key: string | undefined) => {
    const name = `${domain}\0${key ?? ''}`
    const known = asked.get(name) ?? identityOf(client, domain, key, options.signal)
    asked.set(name, known)
    return known
  }
  const pinned: Pinned[] = []
  for (const { rule, column } of columns) {
    const pin = options.allowKeyChange ? undefined : readPin(properties, column)
    const identity = await ask(rule.domain, rule.key ?? (pin?.domain === rule.domain ? pin.key : undefined)).catch(
      (error: unknown) => {
        throw pin?.key !== undefined && rule.key === undefined
          ? keyGone(error, column, pin.key, options.command)
          : error
      },
    )
    if (pin) checkPin(column, pin, pinOf(rule, identity), options.command)
    pinned.push({ rule, column, identity })
  }
  return pinned
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
function keyGone(error: unknown, column: string, key: string, command: string): unknown {
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
      hint: `Use the service the table was made with, or accept the break: ${command} --allow-key-change`,
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
  return readPins(properties).flatMap(({ column, pin }) => {
    const rule = job.columns.find(({ name, mode }) => mode !== 'drop' && name === pin.from)
    return rule ? [{ rule, column }] : []
  })
}
