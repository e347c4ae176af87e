/**
 * What a run is about to put into a folder of plain files: written before the first of them is there, and never changed. Whoever finds it after
 * a crash can finish the step, or take it back. Pure.
 */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { DataFile } from '../../../lib/iceberg/data-file.ts'
import type { Schema } from '../../../lib/iceberg/types.ts'
import type { Mark } from '../../marks.ts'

const VERSION = 1

export interface Intent {
  readonly version: typeof VERSION
  readonly job: string
  /** Of the marks: they may not be there yet. */
  readonly uuid: string
  readonly run: string
  /** Digest of the mark that the step was planned from; missing at the job's first. */
  readonly planned?: string
  readonly mark: Mark
  readonly schema: Schema
  readonly properties: Readonly<Record<string, string>>
  /** With their final locations. */
  readonly files: readonly DataFile[]
  /** Where each of the files is before. */
  readonly from: readonly string[]
  /** Files that go with this step. */
  readonly removed: readonly string[]
}

export function newIntent(intent: Omit<Intent, 'version'>): Intent {
  return { version: VERSION, ...intent }
}

export function writeIntent(intent: Intent): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify(intent, (_key, value: unknown) => {
      if (value instanceof Map) return { map: [...value] }
      if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
      return value
    }),
  )
}

/** @throws PseudolakeError `table/mark-unreadable` for one of a newer version or another form: what it has begun nobody can tell then */
export function readIntent(bytes: Uint8Array, location: string): Intent {
  try {
    const intent = JSON.parse(new TextDecoder().decode(bytes), (_key, value: unknown) => {
      if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return value
      if ('map' in value && Array.isArray(value.map)) return new Map(value.map as [unknown, unknown][])
      if ('base64' in value && typeof value.base64 === 'string')
        return new Uint8Array(Buffer.from(value.base64, 'base64'))
      return value
    }) as Intent
    if (intent.version === VERSION && Array.isArray(intent.files) && Array.isArray(intent.from)) return intent
  } catch {
    // Not JSON is as unreadable as another version.
  }
  throw new PseudolakeError('table/mark-unreadable', `${location} is not an intent that this version reads`, {
    location,
    expectedVersion: VERSION,
  })
}
