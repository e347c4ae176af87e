import type { ErrorCode, ErrorContext } from '../../../lib/core/errors.ts'
import type { KeyFormat } from '../../../lib/crypto/kernel.ts'
import type { KernelName } from '../../../lib/crypto/open.ts'
import type { Direction } from '../../../lib/wire/contract.ts'

/** What the main thread tells a worker thread, and what that answers. Texts go as bytes, and their buffers change hands without a copy. */
export type Message =
  | ({ readonly kind: 'open' } & SharedKey)
  | ({ readonly kind: 'work' } & Job)
  /** Wipe this key. */
  | { readonly kind: 'forget'; readonly key: number }
  /** Wipe all keys and end. */
  | { readonly kind: 'end' }

export interface WorkerSettings {
  readonly kernel: KernelName
}

/** A key whose bytes both threads see: no copy of it travels, and wiping it wipes it for all. */
export interface SharedKey {
  readonly key: number
  readonly id: string
  readonly domain: string
  readonly format: KeyFormat
  /** v2: aead, mac. original: secretKey, nonceKey. */
  readonly bytes: SharedArrayBuffer
  /** How many of them are the first of the two. */
  readonly first: number
  /** Of the original format. */
  readonly nonceStrPos: number
}

export interface Job {
  readonly job: number
  readonly key: number
  readonly direction: Direction
  readonly bytes: Uint8Array
  readonly offsets: Uint32Array
  /** Of mode random; the main thread's, so that there is one source of randomness. */
  readonly nonces?: Uint8Array
}

export type Answer = { readonly job: number } & (
  | { readonly bytes: Uint8Array; readonly offsets: Uint32Array }
  | { readonly refusal: { readonly code: ErrorCode; readonly message: string; readonly context: ErrorContext } }
  /** Not of the values; of no use to anybody but a reader of the log, and without what the error says. */
  | { readonly failed: string }
)
