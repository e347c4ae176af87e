import { PseudolakeError } from '../../lib/core/errors.ts'
import { sha256 } from '../auth.ts'
import { type CallerEntry, isCallerName } from './file.ts'

/** What was taken over of an API Gateway's keys. */
export interface Imported {
  readonly entries: readonly CallerEntry[]
  /** Keys that are there, and disabled: nobody calls with them. */
  readonly disabled: number
  /** Keys whose name could not stand as it is: their ids stand for them. */
  readonly renamed: number
}

export interface ImportOptions {
  /** What the callers may pseudonymize in. @default `default` alone, which is all that the original service has */
  readonly domains?: readonly string[]
  /** When all of them end. @default never */
  readonly until?: string
}

/**
 * The callers of an existing API, from what `aws apigateway get-api-keys --include-values` prints. They may pseudonymize and nothing
 * else: with the original service one key opens both directions, and who needs the way back is a decision that nobody has made yet.
 * @throws PseudolakeError `config/invalid`, by place, never with a key
 */
export function importGatewayKeys(text: string, { domains, until }: ImportOptions = {}): Imported {
  const items = readItems(text)
  const enabled = items.filter(({ enabled }) => enabled)
  const taken = new Set<string>()
  let renamed = 0
  const entries = enabled.map(({ id, name, value }): CallerEntry => {
    const own = isCallerName(name) && !taken.has(name) ? name : undefined
    if (own === undefined) renamed++
    const called = own ?? `key ${id}`
    taken.add(called)
    return {
      name: called,
      key_sha256: sha256(value).toString('hex'),
      permissions: ['pseudonymize'],
      ...(domains && { domains }),
      ...(until !== undefined && { until }),
    }
  })
  if (entries.length === 0) throw invalid('there is no key that is enabled')
  return { entries, disabled: items.length - enabled.length, renamed }
}

interface Item {
  readonly id: string
  readonly name: unknown
  readonly value: string
  readonly enabled: boolean
}

function readItems(text: string): Item[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw invalid('the export is not JSON')
  }
  const { items, position } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<string, unknown>
  if (!Array.isArray(items)) throw invalid('expected {"items": […]}, as get-api-keys prints it')
  // The gateway pages by itself where somebody told it to: the rest of the callers would be locked out.
  if (typeof position === 'string') throw invalid('the export is one page of several (it has a position); export all')
  return items.map((item, i) => {
    const { id, name, value, enabled } = (typeof item === 'object' && item !== null ? item : {}) as Record<
      string,
      unknown
    >
    if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(id))
      throw invalid(`items[${i}].id: expected a key's id`)
    if (typeof value !== 'string' || value.trim() === '')
      throw invalid(`items[${i}].value: missing; export with --include-values`)
    if (enabled !== undefined && typeof enabled !== 'boolean') throw invalid(`items[${i}].enabled: expected a boolean`)
    return { id, name, value, enabled: enabled !== false }
  })
}

function invalid(message: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `api keys: ${message}`)
}
