import type { Direction } from '../lib/wire/contract.ts'
import type { AuditEntry } from './audit/audit.ts'

/** What is known of a call so far. */
export interface Call {
  readonly direction: Direction
  readonly id: string
  readonly traceId: string | undefined
  readonly gatewayId: string | undefined
  readonly principal: string | undefined
  caller: string | null
  domain: string | null
  purpose: string | null
  values: number | null
}

export function entryOf(call: Call, outcome: string, keys: readonly string[]): AuditEntry {
  const { id, gatewayId, traceId, caller, principal, direction, domain, purpose, values } = call
  return {
    request_id: id,
    ...(gatewayId !== undefined && { gateway_id: gatewayId }),
    ...(traceId !== undefined && { trace_id: traceId }),
    caller,
    ...(principal !== undefined && { principal }),
    direction,
    domain,
    keys,
    ...(direction === 'reidentify' && { purpose }),
    values,
    outcome,
  }
}
