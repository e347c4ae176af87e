import { PseudolakeError } from '../../core/errors.ts'
import { Stop } from '../../core/stop.ts'
import { codeOf, failureOf, isBug, type S3Request } from './failure.ts'
import type { S3Sender, S3Settings } from './options.ts'

export type Sdk = typeof import('@aws-sdk/client-s3')

/** One attempt's means. `send` ends after the time that the request's bytes may take. */
export interface Attempt {
  readonly sdk: Sdk
  readonly send: S3Sender['send']
}

/** A request that is tried until it is answered. */
export interface Call extends S3Request {
  /** Bytes that go with the request. @default 0 */
  readonly bytes?: number
  /** Set where an attempt failed without an answer that says that nothing was done. */
  doubtful?: boolean
  /** Milliseconds without an answer. @default 60_000, and more for its bytes */
  readonly patienceMs?: number
}

const BASE_DELAY_MS = 100
/** AWS asks for seconds, not for moments, where a prefix has too many requests. */
const SLOW_BASE_DELAY_MS = 500
const MAX_DELAY_MS = 20_000
const PATIENCE_MS = 60_000
/** The slowest line that is still waited for. */
const LEAST_BYTES_PER_MS = 64

/**
 * Sends requests, again where that may help: full jitter, a number of attempts and a budget of time from the first failure on
 * (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). All requests that are sent can be sent twice: writes carry
 * the condition that there is nothing yet, or a part's number. Where the run was told to stop the budget is some seconds (lib/core/stop.ts).
 */
export class Caller {
  readonly settings: S3Settings
  readonly #stop: Stop
  #ready: Promise<{ readonly sdk: Sdk; readonly client: S3Sender }> | undefined

  constructor(settings: S3Settings) {
    this.settings = settings
    this.#stop = new Stop(settings.clock, settings.signal)
  }

  /** @throws PseudolakeError, the last attempt's */
  async call<T>(call: Call, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    const { clock, attempts, budgetMs } = this.settings
    let deadline: number | undefined
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(call, work)
      } catch (thrown) {
        if (isBug(thrown)) throw thrown
        const { error, again, doubtful } = failureOf(thrown, call)
        if (doubtful) call.doubtful = true
        if (again === 'no') throw error
        const now = clock.now()
        deadline ??= now + budgetMs
        const wait = this.#wait(attempt, again)
        const may = attempt < attempts && now + wait <= deadline
        if (!may || !(await this.#stop.pause(wait))) throw withAttempts(error, attempt)
      }
    }
  }

  async #once<T>(call: Call, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    this.#ready ??= this.#open()
    const { sdk, client } = await this.#ready.catch((error: unknown) => {
      // The next one tries again: credentials may be there then.
      this.#ready = undefined
      throw error
    })
    const patience = call.patienceMs ?? PATIENCE_MS + Math.ceil((call.bytes ?? 0) / LEAST_BYTES_PER_MS)
    return this.#stop.within(patience, (abortSignal) => {
      const send = (command: never) => client.send(command, { abortSignal })
      return work({ sdk, send: send as unknown as S3Sender['send'] })
    })
  }

  async #open(): Promise<{ readonly sdk: Sdk; readonly client: S3Sender }> {
    const [sdk, client] = await Promise.all([import('@aws-sdk/client-s3'), this.settings.client()])
    return { sdk, client }
  }

  #wait(attempt: number, again: 'soon' | 'slow'): number {
    const base = again === 'slow' ? SLOW_BASE_DELAY_MS : BASE_DELAY_MS
    return this.settings.random() * Math.min(MAX_DELAY_MS, base * 2 ** Math.min(attempt - 1, 30))
  }
}

function withAttempts(error: PseudolakeError, attempts: number): PseudolakeError {
  if (attempts === 1) return error
  const context = { ...error.context, attempts }
  return new PseudolakeError(error.code, `${error.message} (${attempts} attempts)`, context, { cause: error.cause })
}

/** True for what the store answered with one of these codes. */
export function answered(error: unknown, ...codes: string[]): boolean {
  return error instanceof PseudolakeError ? codes.includes(String(error.context.code)) : codes.includes(codeOf(error))
}
