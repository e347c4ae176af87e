/** The begin of an HTTP/1.1 answer, and how its body ends (RFC 9112). Pure. */

export interface AnswerHead {
  readonly statusCode: number
  readonly reason: string
  /** Names in lower case; what came more than once is joined by commas. */
  readonly headers: Readonly<Record<string, string>>
  /** Bytes of the body, or how its end is found. */
  readonly body: number | 'chunked' | 'until-close'
  /** Whether the connection may be used again behind the body. */
  readonly keep: boolean
  /** Seconds for which the other side keeps it, where it says so. */
  readonly keepSeconds: number | undefined
}

export const MAX_HEAD_BYTES = 64 << 10

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * @param text up to the empty line, which is not in it; as latin1
 * @returns undefined for an interim answer (1xx), behind which there is another
 * @throws Error with code `BadAnswer` where it is none, or its length is in doubt
 */
export function answerHead(text: string): AnswerHead | undefined {
  const [first = '', ...lines] = text.split('\r\n')
  const [, minor, status, reason = ''] = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(first) ?? []
  if (status === undefined) throw badAnswer()
  const statusCode = Number(status)
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    if (!TOKEN.test(name) || /[\0\r\n]/.test(line)) throw badAnswer()
    const [key, value] = [name.toLowerCase(), line.slice(colon + 1).trim()]
    if (key === 'content-length' && headers[key] !== undefined && headers[key] !== value) throw badAnswer()
    headers[key] = headers[key] === undefined || key === 'content-length' ? value : `${headers[key]}, ${value}`
  }
  if (statusCode === 101 || statusCode < 100) throw badAnswer()
  if (statusCode < 200) return undefined
  const connection = (headers.connection ?? '').toLowerCase()
  const body = bodyOf(statusCode, headers)
  const keep = minor === '1' && !/\bclose\b/.test(connection) && body !== 'until-close'
  const seconds = /timeout=(\d+)/.exec(headers['keep-alive'] ?? '')?.[1]
  return { statusCode, reason, headers, body, keep, keepSeconds: seconds === undefined ? undefined : Number(seconds) }
}

function bodyOf(status: number, headers: Readonly<Record<string, string>>): AnswerHead['body'] {
  if (status === 204 || status === 304) return 0
  const { 'transfer-encoding': coding, 'content-length': length } = headers
  if (coding !== undefined) {
    // With both, one of the two is a lie.
    if (coding.toLowerCase() !== 'chunked' || length !== undefined) throw badAnswer()
    return 'chunked'
  }
  if (length === undefined) return 'until-close'
  if (!/^\d{1,15}$/.test(length)) throw badAnswer()
  return Number(length)
}

/** The body of a chunked answer, out of what comes. */
export class Chunks {
  #line = ''
  #left = 0
  #state: 'size' | 'data' | 'behind' | 'trailer' | 'ended' = 'size'

  get ended(): boolean {
    return this.#state === 'ended'
  }

  /** @returns what of `bytes` is the body's, as parts of it @throws Error with code `BadAnswer` */
  take(bytes: Uint8Array): Uint8Array[] {
    const found: Uint8Array[] = []
    for (let at = 0; at < bytes.length; ) {
      if (this.#state === 'ended') throw badAnswer()
      if (this.#state === 'data') {
        const part = bytes.subarray(at, at + this.#left)
        found.push(part)
        at += part.length
        this.#left -= part.length
        if (this.#left === 0) this.#state = 'behind'
      } else this.#character(bytes[at++] as number)
    }
    return found
  }

  #character(code: number): void {
    this.#line += String.fromCharCode(code)
    const astray = this.#state === 'behind' && !'\r\n'.startsWith(this.#line)
    if (astray || this.#line.length > MAX_HEAD_BYTES) throw badAnswer()
    if (!this.#line.endsWith('\r\n')) return
    const line = this.#line.slice(0, -2)
    this.#line = ''
    if (this.#state === 'behind') this.#state = 'size'
    else if (this.#state === 'trailer') {
      if (line === '') this.#state = 'ended'
    } else {
      const [, size] = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/.exec(line) ?? []
      if (size === undefined) throw badAnswer()
      this.#left = Number.parseInt(size, 16)
      this.#state = this.#left === 0 ? 'trailer' : 'data'
    }
  }
}

export function badAnswer(): Error {
  return Object.assign(new Error('what came is no answer in HTTP'), { code: 'BadAnswer' })
}
