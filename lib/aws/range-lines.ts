/** Asks for ranges of objects, over connections of its own that are kept: those of one place at a time. */
import { Line, type Place } from './line.ts'
import type { LineBody } from './line-body.ts'

export interface RangeRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number | undefined
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

export interface RangeAnswer {
  readonly statusCode: number
  readonly reason: string
  readonly headers: Record<string, string>
  readonly body: LineBody
}

export interface RangeLinesOptions {
  /** To one place. */
  readonly connections: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
}

/** Lines to one place. */
interface Pool {
  readonly free: Line[]
  readonly all: Set<Line>
  readonly waiting: (() => void)[]
  session?: Buffer
}

export class RangeLines {
  readonly #options: RangeLinesOptions
  readonly #pools = new Map<string, Pool>()

  constructor(options: RangeLinesOptions) {
    this.#options = options
  }

  /** @param path with its query, escaped @throws Error as Node's client, or with code `BadAnswer` */
  async get(
    { protocol, hostname, port, path, headers }: RangeRequest,
    signal: AbortSignal | undefined,
  ): Promise<RangeAnswer> {
    const head = headOf(path, headers)
    const secure = protocol === 'https:'
    const line = await this.#line({ secure, hostname, port: port ?? (secure ? 443 : 80) })
    const { head: answer, body } = await line.ask(head, signal)
    return { statusCode: answer.statusCode, reason: answer.reason, headers: { ...answer.headers }, body }
  }

  destroy(): void {
    for (const { all } of this.#pools.values()) for (const line of all) line.destroy()
  }

  async #line(place: Place): Promise<Line> {
    const pool = this.#pool(place)
    for (;;) {
      // The last one that was used is the likeliest to be open still.
      const free = pool.free.pop()
      if (free) return free
      if (pool.all.size < this.#options.connections) return this.#opened(place, pool)
      await new Promise<void>((resolve) => pool.waiting.push(resolve))
    }
  }

  #opened(place: Place, pool: Pool): Line {
    const line = new Line(place, {
      ...this.#options,
      session: pool.session,
      onSession: (session) => {
        pool.session = session
      },
      onFree: (free) => {
        pool.free.push(free)
        pool.waiting.shift()?.()
      },
      onClose: (closed) => {
        pool.all.delete(closed)
        const at = pool.free.indexOf(closed)
        if (at >= 0) pool.free.splice(at, 1)
        pool.waiting.shift()?.()
      },
    })
    pool.all.add(line)
    return line
  }

  #pool({ secure, hostname, port }: Place): Pool {
    const name = `${secure} ${hostname} ${port}`
    const known = this.#pools.get(name)
    if (known) return known
    const pool: Pool = { free: [], all: new Set(), waiting: [] }
    this.#pools.set(name, pool)
    return pool
  }
}

/** @throws Error with code `ERR_INVALID_CHAR` for what would be more than one line */
function headOf(path: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const first = `GET ${path} HTTP/1.1`
  const bad = /[^\x21-\x7e]/.test(path) || lines.some((line) => !/^[!-9;-~]+: [\t\x20-\x7e\x80-\xff]*$/.test(line))
  if (bad) throw Object.assign(new Error('a character that no header may have'), { code: 'ERR_INVALID_CHAR' })
  return `${[first, ...lines, 'connection: keep-alive'].join('\r\n')}\r\n\r\n`
}
