import type { Direction } from '../../lib/wire/contract.ts'

/**
 * The record of who asked for what: one JSON line for each call, never a value. The lines of a process are one chain: each carries its
 * number and the SHA-256 of the line before, so that a line taken out or changed afterwards shows (verify.ts). What a chain can't show
 * by itself, that its end was cut off or all of it was written anew, its anchors show (anchors.ts).
 */
export interface Audit {
  /** @param durable resolves only when the entry would survive a crash of the machine. @throws when it could not be written */
  record(entry: AuditEntry, options: { readonly durable: boolean }): Promise<void>
  /** Makes all that was recorded so far durable, and says where the chain has come to. @throws when it could not be written */
  seal(): Promise<Head>
  /** Writes what is left and closes; later entries are refused. */
  close(): Promise<void>
}

export interface AuditEntry {
  readonly request_id: string
  /** What the gateway before the service called the request; where there is one. */
  readonly gateway_id?: string
  /** Of the trace that the request belongs to; where it came with one. */
  readonly trace_id?: string
  /** Name of the caller; null where nobody was recognized. */
  readonly caller: string | null
  /** ARN of who signed the request, where a gateway vouches for it. */
  readonly principal?: string
  readonly direction: Direction
  /** Null where the keyring has no domain of the name that was sent. */
  readonly domain: string | null
  readonly keys: readonly string[]
  /** Of a way back: what the caller said that it is for, as a name; null where it said nothing that is one. */
  readonly purpose?: string | null
  /** Values asked for; null where the request was refused before they were counted. */
  readonly values: number | null
  /** `answered`, `left` (the caller went away), or the code of the problem. */
  readonly outcome: string
}

/** Where a chain has come to. */
export interface Head {
  readonly chain: string
  /** Of its last entry; 0 before the first. */
  readonly n: number
  /** Of that entry's line; before the first, of the chain's first line. */
  readonly hash: string
}
