/** What threads of a run say to each other; plain data. */
import type { BytesAnswer, BytesRequest } from '../../../lib/client/pseudonymizer.ts'
import { type ErrorCode, type ErrorContext, isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import type { WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import type { ConstantColumn } from '../../../lib/parquet/output-tree.ts'
import type { Piece } from '../../../lib/parquet/pieces.ts'
import type { StepWork } from '../file.ts'
import type { GatePart } from '../gate/part.ts'
import type { InputFile } from '../inputs.ts'
import type { Finished } from '../unpublished.ts'

export interface ThreadOptions {
  /** Of the gates of all threads: hashes are compared. */
  readonly seed: number
  /** What this thread may take of `limits.memory_mb`, as a share of 1. */
  readonly share: number
}

/** A file whose row groups are made in threads. */
export interface FileOfGroups {
  readonly file: number
  readonly input: InputFile
  readonly constants: readonly ConstantColumn[]
}

export type ToThread =
  /** The files that follow belong to it. Rules, columns and pins refer to each other, so they come in one message. */
  | { readonly type: 'step'; readonly step: StepWork }
  | { readonly type: 'file'; readonly id: number; readonly input: InputFile; readonly output: string }
  /** The row group at a position of its plan. */
  | { readonly type: 'group'; readonly id: number; readonly of: FileOfGroups; readonly position: number }
  /** So many bytes of a row group's pieces have been written. */
  | { readonly type: 'taken'; readonly id: number; readonly bytes: number }
  | { readonly type: 'answer'; readonly call: number; readonly answer: BytesAnswer }
  | { readonly type: 'refused'; readonly call: number; readonly error: SentError }
  | { readonly type: 'stop' }

export type FromThread =
  | { readonly type: 'call'; readonly call: number; readonly request: Omit<BytesRequest, 'signal'> }
  | { readonly type: 'progress'; readonly id: number; readonly rows: number; readonly bytes: number }
  | { readonly type: 'done'; readonly id: number; readonly finished: Finished; readonly gate: GatePart }
  | { readonly type: 'failed'; readonly id: number; readonly error: SentError; readonly gate: GatePart | undefined }
  | { readonly type: 'pieces'; readonly id: number; readonly pieces: readonly Piece[]; readonly bytes: number }
  | { readonly type: 'group-done'; readonly id: number; readonly written: WrittenRowGroup }

/** An error keeps its code and what it says on its way; what caused it stays in its thread. */
export interface SentError {
  readonly code: ErrorCode | undefined
  readonly message: string
  readonly context: ErrorContext
}

export function sentError(error: unknown): SentError {
  if (isPseudolakeError(error)) return { code: error.code, message: error.message, context: error.context }
  return { code: undefined, message: error instanceof Error ? error.message : 'unknown', context: {} }
}

export function receivedError({ code, message, context }: SentError): Error {
  return code === undefined ? new Error(message) : new PseudolakeError(code, message, context)
}
