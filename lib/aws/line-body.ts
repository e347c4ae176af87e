import { Readable } from 'node:stream'
import { RECEIVE, type Receivable } from '../core/receive.ts'

/** What a body asks of its connection. */
export interface BodyLine {
  /** More is wanted. */
  resume(): void
  /** Nothing is wanted any more, and the body has not ended. */
  leave(): void
}

/** The connection's side of a body. */
export interface Incoming {
  /** Where the next bytes may be put, of so many that follow; undefined where they are not wanted in place. */
  room(left: number): Uint8Array | undefined
  /** Good until it returns, and perhaps in their place already. @returns false where no more is wanted for now */
  take(bytes: Uint8Array): boolean
  end(): void
  fail(error: unknown): void
}

interface Target {
  readonly into: Uint8Array
  filled: number
  readonly onBytes: (count: number) => void
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** The body of an answer: a stream, or bytes that are put in place. What comes before either is asked for is held, and the connection waits. */
export class LineBody extends Readable implements Receivable {
  readonly #line: BodyLine
  readonly #length: number | undefined
  #held: Buffer[] = []
  #target: Target | undefined
  #streams = false
  #over: { readonly error?: unknown } | undefined

  readonly incoming: Incoming = {
    room: (left) => {
      const target = this.#target
      if (!target || !(target.into.buffer instanceof ArrayBuffer)) return undefined
      const { into, filled } = target
      const bytes = Math.min(left, into.length - filled)
      return bytes === 0 ? undefined : into.subarray(filled, filled + bytes)
    },
    take: (bytes) => {
      if (this.#target) return this.#put(this.#target, bytes)
      if (this.#streams) return this.push(Buffer.from(bytes))
      this.#held.push(Buffer.from(bytes))
      return false
    },
    end: () => this.#end({}),
    fail: (error) => this.#end({ error }),
  }

  /** @param length undefined where it is not known before the end */
  constructor(length: number | undefined, line: BodyLine) {
    super()
    this.#length = length
    this.#line = line
  }

  [RECEIVE](into: Uint8Array, onBytes: (count: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const target = { into, filled: 0, onBytes, resolve, reject }
      if (this.#streams || this.#target) return reject(new Error('a body is read once'))
      if (this.#length !== undefined && this.#length > into.length) {
        reject(tooLong())
        return void this.destroy()
      }
      this.#target = target
      try {
        for (const bytes of this.#held.splice(0)) this.#put(target, bytes)
      } catch (error) {
        reject(error)
        return void this.destroy()
      }
      if (this.#over) this.#end(this.#over)
      else this.#line.resume()
    })
  }

  override _read(): void {
    if (this.#target) return
    if (!this.#streams) {
      this.#streams = true
      for (const bytes of this.#held.splice(0)) this.push(bytes)
    }
    if (this.#over) this.#end(this.#over)
    else this.#line.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#over) this.#line.leave()
    done(error)
  }

  #put(target: Target, bytes: Uint8Array): boolean {
    const { into, filled } = target
    if (filled + bytes.length > into.length) throw tooLong()
    const inPlace = bytes.buffer === into.buffer && bytes.byteOffset === into.byteOffset + filled
    if (!inPlace) into.set(bytes, filled)
    target.filled += bytes.length
    target.onBytes(bytes.length)
    return true
  }

  #end(over: { readonly error?: unknown }): void {
    this.#over ??= over
    const { error } = this.#over
    if (this.#target) error === undefined ? this.#target.resolve() : this.#target.reject(error)
    else if (!this.#streams) return
    else if (error === undefined) this.push(null)
    else this.destroy(error as Error)
  }
}

function tooLong(): Error {
  return Object.assign(new Error('more bytes than were asked for'), { code: 'TooLong' })
}
