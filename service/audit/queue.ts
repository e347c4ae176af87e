import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Audit, AuditEntry, Head } from './audit.ts'

/** Where a record's lines go. Called one at a time. */
export interface AuditSink {
  /** Takes entries, which need not be durable yet. @throws when they could not be; the next call goes on behind what was taken before */
  write(entries: readonly AuditEntry[]): Promise<void>
  /** Makes durable what was taken. @throws when it could not be */
  flush(): Promise<void>
  readonly head: Head
  close(): Promise<void>
}

interface Pending {
  readonly entry: AuditEntry
  readonly durable: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** One write, and one flush at most, for all entries that came in while the last one was under way. */
export function queuedAudit(sink: AuditSink): Audit {
  let queue: Pending[] = []
  let busy: Promise<void> | undefined
  let closed = false

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue
      queue = []
      try {
        await sink.write(batch.map(({ entry }) => entry))
        for (const { durable, resolve } of batch) if (!durable) resolve()
        if (batch.some(({ durable }) => durable)) await sink.flush()
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    // Before anything else can run: an entry that comes from here on starts the next drain.
    busy = undefined
  }

  /** Alone with the sink: a write and a flush must not be under way together. */
  async function seal(): Promise<Head> {
    while (busy) await busy
    let over: () => void = () => undefined
    busy = new Promise<void>((resolve) => {
      over = resolve
    })
    try {
      await sink.flush()
      return sink.head
    } finally {
      busy = queue.length > 0 ? drain() : undefined
      over()
    }
  }

  return {
    record(entry, { durable }) {
      if (closed) return Promise.reject(new PseudolakeError('internal/bug', 'an entry after the record was closed'))
      return new Promise((resolve, reject) => {
        queue.push({ entry, durable, resolve, reject })
        busy ??= drain()
      })
    },
    seal,
    async close() {
      closed = true
      while (busy) await busy
      await sink.close()
    },
  }
}
