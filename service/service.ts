import type { ProblemCode } from '../lib/wire/problem.ts'

/**
 * The service, apart from any server: a request object in, an answer object out. Order matters: nobody who is not known makes it
 * read a body, nobody without permission learns whether a domain exists, and no plaintext leaves before the call is on record.
 */
export interface App {
  handle(request: ServiceRequest): Promise<ServiceAnswer>
  /** From now on it says that it is not ready, and answers all the same. */
  drain(): void
}

export interface ServiceRequest {
  readonly method: string
  /** The path, not decoded, without the query. */
  readonly path: string
  /** The query with its `?`, or nothing. */
  readonly search: string
  /** @param name in lower case */
  header(name: string): string | undefined
  /** Reads the body, when it is wanted; or says why it can't be had. */
  body(): Promise<Uint8Array | ProblemCode>
  /** ARN of who signed the request, as the gateway before this says that checked it; never taken from a header. */
  readonly principal?: string
  /** What the gateway before this calls the request; on record beside our own name of it. */
  readonly gatewayId?: string
  /** Aborted when the caller is gone. */
  readonly signal?: AbortSignal
}

export interface ServiceAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Text, or UTF-8 as it goes out. */
  readonly body: string | Uint8Array
}

/** A call that was answered; names of ours and numbers. */
export interface ObservedCall {
  readonly route: string
  readonly status: number
  /** Of the problem, where it was refused. */
  readonly code: string | undefined
  readonly seconds: number
  /** Undefined where it was refused before they were counted. */
  readonly values: number | undefined
  readonly requestId: string
  readonly traceId: string | undefined
}

/** What goes to the log: names of ours and numbers, nothing that came with a request. */
export interface LogEntry {
  readonly level: 'info' | 'warn' | 'error'
  readonly event: string
  readonly [field: string]: string | number | boolean | null | undefined | readonly string[]
}
