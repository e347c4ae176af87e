/**
 * What it costs to receive 8 MB at a time: over lines that put it in place, and by Node's client. The server is a process of its own.
 *
 *   node benchmarks/s3/lines.ts [ANSWERS]
 */
import { spawn } from 'node:child_process'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { RangeLines } from '../../lib/aws/range-lines.ts'
import { RECEIVE } from '../../lib/core/receive.ts'
import { round } from '../lib/measure.ts'

const BYTES = 8 << 20
const AT_A_TIME = 4
const body = Buffer.alloc(BYTES, 'what is sent')

if (process.argv[2] === '--serve') {
  const server = createServer((_, response) => response.writeHead(206, { 'content-length': BYTES }).end(body))
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
} else await measure(Number(process.argv[2] ?? 100))

async function measure(answers: number): Promise<void> {
  const server = spawn(process.execPath, [import.meta.filename, '--serve'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = new RangeLines({ connections: AT_A_TIME, connectTimeoutMs: 5000, idleTimeoutMs: 5000 })
  const agent = new Agent({ keepAlive: true })
  try {
    const port = Number((await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()).value)
    const ways = { lines: overLines(lines, port), node: byNode(agent, port) }
    for (let round = 0; round < 3; round++)
      for (const [name, receive] of Object.entries(ways))
        process.stdout.write(`${await timed(name, receive, answers)}\n`)
  } finally {
    lines.destroy()
    agent.destroy()
    server.kill()
  }
}

type Receive = (into: Uint8Array) => Promise<void>

async function timed(name: string, receive: Receive, answers: number): Promise<string> {
  const rooms = Array.from({ length: AT_A_TIME }, () => new Uint8Array(BYTES))
  for (const room of rooms) {
    await receive(room)
    if (Buffer.compare(room, body) !== 0) throw new Error(`${name}: other bytes came`)
  }
  const [began, before] = [performance.now(), process.cpuUsage()]
  let left = answers
  const work = async (room: Uint8Array) => {
    while (left-- > 0) await receive(room)
  }
  await Promise.all(rooms.map(work))
  const { user, system } = process.cpuUsage(before)
  const megabytes = (answers * BYTES) / 1e6
  return `${name}: ${round((user + system) / 1000 / megabytes, 2)} ms of CPU and ${round((performance.now() - began) / megabytes, 2)} ms for a MB`
}

function overLines(lines: RangeLines, port: number): Receive {
  return async (into) => {
    const asked = { protocol: 'http:', hostname: '127.0.0.1', port, path: '/', headers: { host: 'h' } }
    const { body } = await lines.get(asked, undefined)
    await body[RECEIVE](into, () => {})
  }
}

/** As an SDK's body is read. */
function byNode(agent: Agent, port: number): Receive {
  return (into) =>
    new Promise((resolve, reject) => {
      get({ agent, hostname: '127.0.0.1', port }, (answer) => {
        let filled = 0
        answer.on('data', (piece: Uint8Array) => {
          into.set(piece, filled)
          filled += piece.length
        })
        answer.once('end', resolve)
        answer.once('error', reject)
      }).once('error', reject)
    })
}
