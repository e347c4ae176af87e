/**
 * A connection that asks for one thing after the other, and reads what is answered to where it is wanted: the kernel writes the body of a range
 * into the memory of who asked. Node's own client makes two buffers and two copies of each 64 KB first.
 */
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type AnswerHead, answerHead, badAnswer, Chunks, MAX_HEAD_BYTES } from './answer.ts'
import { type Incoming, LineBody } from './line-body.ts'

export interface Place {
  readonly secure: boolean
  readonly hostname: string
  readonly port: number
}

export interface LineOptions {
  readonly connectTimeoutMs: number
  /** Without a byte in either direction while something is asked for. */
  readonly idleTimeoutMs: number
  /** Of an earlier connection to the same place: a handshake is half as dear with it. */
  readonly session?: Buffer | undefined
  readonly onSession: (session: Buffer) => void
  /** It may be asked again. */
  readonly onFree: (line: Line) => void
  readonly onClose: (line: Line) => void
}

export interface LineAnswer {
  readonly head: AnswerHead
  readonly body: LineBody
}

interface Asked {
  readonly resolve: (answer: LineAnswer) => void
  readonly reject: (error: unknown) => void
}

/** Of what is not read in place. */
const ROOM_BYTES = 64 << 10

export class Line {
  readonly #options: LineOptions
  readonly #socket: Socket
  readonly #room = Buffer.allocUnsafeSlow(ROOM_BYTES)
  #phase: 'idle' | 'head' | 'body' | 'closed' = 'idle'
  #asked: Asked | undefined
  #head = Buffer.alloc(0)
  #answer: AnswerHead | undefined
  #body: Incoming | undefined
  #left = 0
  #chunks: Chunks | undefined
  #error: unknown
  #ended = false
  #leave = () => {}

  constructor({ secure, hostname, port }: Place, options: LineOptions) {
    this.#options = options
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    const onread = {
      buffer: () => this.#body?.room(this.#chunks ? 0 : this.#left) ?? this.#room,
      callback: (count: number, bytes: Uint8Array) => this.#came(bytes.subarray(0, count)),
    }
    const { session } = options
    const named = isIP(host) === 0 && { servername: host }
    // `onread` is passed on to the connection below, which the types do not say.
    const tls = { host, port, onread, ALPNProtocols: ['http/1.1'], ...named, ...(session && { session }) }
    this.#socket = secure ? connectTls(tls) : connect({ host, port, onread })
    const socket = this.#socket
    socket.setNoDelay(true)
    const late = setTimeout(() => this.#fail(timeout('no connection in time')), options.connectTimeoutMs)
    socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(late))
    socket.on('session', options.onSession)
    socket.on('timeout', () => (this.#phase === 'idle' ? socket.destroy() : this.#fail(timeout('no answer in time'))))
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('end', () => {
      this.#ended = true
    })
    socket.on('close', () => {
      clearTimeout(late)
      if (this.#phase === 'body' && this.#answer?.body === 'until-close' && this.#ended && !this.#error) this.#finish()
      else if (this.#phase === 'head' || this.#phase === 'body') this.#fail(this.#error ?? hungUp())
      this.#phase = 'closed'
      options.onClose(this)
    })
  }

  /** Once at a time. @param head the whole request, as latin1 @throws Error as Node's client has them, or with code `BadAnswer` */
  ask(head: string, signal: AbortSignal | undefined): Promise<LineAnswer> {
    return new Promise((resolve, reject) => {
      this.#phase = 'head'
      this.#asked = { resolve, reject }
      const leave = () => this.#fail(Object.assign(new Error('Request aborted'), { name: 'AbortError' }))
      signal?.addEventListener('abort', leave, { once: true })
      this.#leave = () => signal?.removeEventListener('abort', leave)
      this.#socket.ref().setTimeout(this.#options.idleTimeoutMs)
      this.#socket.write(head, 'latin1')
      if (signal?.aborted) leave()
    })
  }

  destroy(): void {
    if (this.#phase === 'idle' || this.#phase === 'closed') this.#socket.destroy()
    else this.#fail(hungUp())
  }

  /** @returns false where no more is wanted for now */
  #came(bytes: Uint8Array): boolean {
    try {
      if (this.#phase === 'body') return this.#ofBody(bytes)
      if (this.#phase === 'head') return this.#ofHead(bytes)
      // Nobody asked.
      this.#socket.destroy()
      return false
    } catch (error) {
      this.#fail(error)
      return false
    }
  }

  #ofHead(bytes: Uint8Array): boolean {
    this.#head = Buffer.concat([this.#head, bytes])
    for (;;) {
      const end = this.#head.indexOf('\r\n\r\n')
      if (end > MAX_HEAD_BYTES || (end < 0 && this.#head.length > MAX_HEAD_BYTES)) throw badAnswer()
      if (end < 0) return true
      const answer = answerHead(this.#head.toString('latin1', 0, end))
      this.#head = this.#head.subarray(end + 4)
      if (answer) return this.#begin(answer)
    }
  }

  #begin(answer: AnswerHead): boolean {
    const rest = this.#head
    this.#head = Buffer.alloc(0)
    this.#answer = answer
    this.#phase = 'body'
    this.#chunks = answer.body === 'chunked' ? new Chunks() : undefined
    this.#left = typeof answer.body === 'number' ? answer.body : Number.POSITIVE_INFINITY
    const body = new LineBody(typeof answer.body === 'number' ? answer.body : undefined, {
      resume: () => this.#socket.resume(),
      leave: () => this.#fail(hungUp()),
    })
    this.#body = body.incoming
    const { resolve } = this.#asked as Asked
    this.#asked = undefined
    resolve({ head: answer, body })
    return this.#ofBody(rest)
  }

  #ofBody(bytes: Uint8Array): boolean {
    if (bytes.length > this.#left) throw badAnswer()
    const body = this.#body as Incoming
    let more = true
    for (const part of this.#chunks?.take(bytes) ?? [bytes]) if (part.length > 0) more = body.take(part)
    this.#left -= bytes.length
    if (this.#chunks?.ended || this.#left === 0) this.#finish()
    // Behind the last byte there is nothing to wait for but the end of the connection.
    return more || this.#phase !== 'body'
  }

  #finish(): void {
    const [body, answer] = [this.#body, this.#answer]
    this.#settle('idle')
    body?.end()
    if (!answer?.keep || this.#socket.destroyed) return void this.#socket.destroy()
    // A second before the other side ends it.
    this.#socket.setTimeout(answer.keepSeconds === undefined ? 0 : Math.max(1, 1000 * (answer.keepSeconds - 1)))
    this.#socket.unref()
    this.#options.onFree(this)
  }

  #fail(error: unknown): void {
    const [asked, body] = [this.#asked, this.#body]
    this.#settle('closed')
    this.#socket.destroy()
    asked?.reject(error)
    body?.fail(error)
  }

  #settle(phase: 'idle' | 'closed'): void {
    this.#phase = phase
    this.#leave()
    this.#leave = () => {}
    this.#asked = undefined
    this.#body = undefined
    this.#chunks = undefined
  }
}

function hungUp(): Error {
  return Object.assign(new Error('the connection ended'), { code: 'ECONNRESET' })
}

function timeout(what: string): Error {
  return Object.assign(new Error(what), { name: 'TimeoutError', code: 'ETIMEDOUT' })
}
