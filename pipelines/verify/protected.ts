/** Which columns of a table are replaced, by the pins among its properties, whatever their names are today. Pure. */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import { currentSchema, sortedBy, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { metricsModes } from '../../lib/iceberg/metrics.ts'
import { fieldsOf } from '../../lib/iceberg/schema.ts'
import { pinProperty, readApproved, readPin } from '../pins.ts'
import type { Findings } from './findings.ts'

const PIN_PREFIX = pinProperty('')

export interface Protected {
  /** Field ids with the name that the pin has. */
  readonly ids: ReadonlyMap<number, string>
  /** Pinned names, dotted, for files without field ids. */
  readonly names: ReadonlySet<string>
}

/** Reads the pins, and says of each what is wrong with it. */
export function protectedColumns(metadata: TableMetadata, findings: Findings): Protected {
  const { properties } = metadata
  const ids = new Map<number, string>()
  const names = new Set<string>()
  const schema = currentSchema(metadata)
  const modes = metricsModes(schema, properties, sortedBy(metadata))
  for (const name of Object.keys(properties)) {
    if (!name.startsWith(PIN_PREFIX)) continue
    const column = name.slice(PIN_PREFIX.length)
    names.add(column)
    told(name, () => readPin(properties, column))
    const current = [...fieldsOf(schema)].find(({ path }) => path.join('.') === column)
    const known =
      current ?? metadata.schemas.flatMap((older) => [...fieldsOf(older)]).find(({ path }) => path.join('.') === column)
    if (!current)
      findings.add({
        kind: 'pin',
        location: name,
        column,
        message: known
          ? 'the pinned column was renamed or dropped; files are still held against the pin by its field id'
          : 'the table has no such column',
      })
    if (!known) continue
    ids.set(known.id, column)
    const mode = modes.get(known.id)?.kind
    if (mode !== undefined && mode !== 'none' && mode !== 'counts')
      findings.add({
        kind: 'metrics-mode',
        location: `write.metadata.metrics.column.${current?.path.join('.') ?? column}`,
        column,
        message: `is ${mode}, so that other writers put values of the column into manifests; expected counts or none`,
      })
  }
  told('pseudolake.columns', () => readApproved(properties))
  return { ids, names }

  function told(location: string, read: () => unknown): void {
    try {
      read()
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      findings.add({ kind: 'pin', location, message: error.message })
    }
  }
}
