/**
 * The callers, in a process of their own, so that nothing of theirs is counted as the service's: so many connections, each with one request
 * at a time. Does one job of its parent's after the other. Bodies are made before the clock starts; every answer's status and length is looked at.
 */
import { Agent, type IncomingMessage, request } from 'node:http'

export interface Job {
  readonly url: string
  readonly path: string
  readonly apiKey: string
  readonly connections: number
  readonly requests: number
  /** Identifiers in a request. */
  readonly size: number
  /** The number of the first identifier; from there on each is another one, or one of so many. */
  readonly from: number
  readonly distinct?: number
  /** With blanks, as Python writes JSON. */
  readonly blanks?: boolean
  /** The answers of this job are the bodies of the next. */
  readonly keep?: boolean
  /** The bodies are the answers of the job before. */
  readonly kept?: boolean
}

export interface Seen {
  readonly seconds: number
  /** Milliseconds of each request, ascending. */
  readonly latencies: readonly number[]
}

/** Identifier i: 17 characters. */
export function identifier(i: number): string {
  return i.toString(36).toUpperCase().padStart(17, 'WVWZZZ1JZX')
}

/** Body i of a job. */
export function bodyOf({ size, from, distinct, blanks }: Job, i: number): string {
  const identifiers = Array.from({ length: size }, (_, j) => {
    const place = i * size + j
    return identifier(from + (distinct ? place % distinct : place))
  })
  return blanks ? `{"identifiers": ["${identifiers.join('", "')}"]}` : JSON.stringify({ identifiers })
}

let kept: Buffer[] = []

if (process.send)
  process.on('message', (job: Job) => {
    run(job).then(
      (seen) => process.send?.(seen),
      (error: Error) => process.send?.({ failed: error.message }),
    )
  })

async function run(job: Job): Promise<Seen> {
  const { connections, requests } = job
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const bodies = job.kept ? kept : Array.from({ length: requests }, (_, i) => Buffer.from(bodyOf(job, i)))
  const answers: Buffer[] = []
  const latencies: number[] = []
  let next = 0
  let length: number | undefined
  const start = performance.now()
  async function caller(): Promise<void> {
    while (next < requests) {
      const place = next++
      const before = performance.now()
      const { status, answer } = await ask(agent, job, bodies[place % bodies.length] as Buffer)
      latencies.push(performance.now() - before)
      if (status !== 200) throw new Error(`the service answered ${status}`)
      length ??= answer.length
      if (answer.length !== length) throw new Error(`an answer has ${answer.length} bytes, others ${length}`)
      if (job.keep) answers[place] = answer
    }
  }
  await Promise.all(Array.from({ length: connections }, caller))
  const seconds = (performance.now() - start) / 1000
  agent.destroy()
  kept = job.keep ? answers : kept
  return { seconds, latencies: latencies.sort((a, b) => a - b) }
}

function ask(agent: Agent, { url, path, apiKey }: Job, body: Buffer): Promise<{ status: number; answer: Buffer }> {
  const { hostname, port } = new URL(url)
  const headers = { 'content-type': 'application/json', 'content-length': body.length, 'x-api-key': apiKey }
  return new Promise((resolve, reject) => {
    const sent = request({ agent, hostname, port, path, method: 'POST', headers }, (answer: IncomingMessage) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, answer: Buffer.concat(chunks) }))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
