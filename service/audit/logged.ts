import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Audit, AuditEntry } from './audit.ts'

/**
 * A record that is the log: a line for each call, of which nobody can say when it is safe. So what must be durable is refused, and with it
 * every way back. For functions without a store (docs/lambda.md).
 */
export function loggedAudit(log: (entry: AuditEntry) => void): Audit {
  return {
    async record(entry, { durable }) {
      log(durable ? { ...entry, outcome: 'service/audit' } : entry)
      if (durable) throw new PseudolakeError('storage/denied', 'the log is no durable record, and no other was named')
    },
    async seal() {
      throw new PseudolakeError('internal/bug', 'the log has no chain')
    },
    async close() {},
  }
}
