/** Servers of other makers, on loopback, for the time of a test file. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterAll } from 'vitest'

export interface ServerProcess {
  readonly port: number
  stop(): Promise<void>
}

export interface ServerOptions {
  readonly command: string
  readonly args: (port: number) => readonly string[]
  readonly env?: (port: number) => Record<string, string>
  readonly cwd?: string
  /** Answers with a status below 500 once the server is ready. */
  readonly ready: (port: number) => string
  /** @default 60_000 */
  readonly startMs?: number
}

const TRIES = 3
const running = new Set<ChildProcess>()
const killAll = () => {
  for (const child of running) kill(child)
}
afterAll(killAll)
process.once('exit', killAll)

/** Starts a server on a free port; somebody else may take that meanwhile, then on another. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  for (let tried = 1; ; tried++) {
    const port = await freePort()
    const child = spawn(options.command, [...options.args(port)], {
      // A group of its own: what it starts goes with it.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...options.env?.(port) },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    })
    running.add(child)
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-4000)
    })
    if (await isReady(child, options.ready(port), options.startMs ?? 60_000)) return { port, stop: () => ended(child) }
    await ended(child)
    if (tried === TRIES) throw new Error(`${options.command} does not start:\n${errors}`)
  }
}

async function isReady(child: ChildProcess, url: string, startMs: number): Promise<boolean> {
  const late = Date.now() + startMs
  while (Date.now() < late && child.exitCode === null && child.signalCode === null) {
    const status = await fetch(url, { signal: AbortSignal.timeout(2000) }).then(
      (response) => response.text().then(() => response.status),
      () => 599,
    )
    if (status < 500) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

async function ended(child: ChildProcess): Promise<void> {
  running.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  kill(child)
  await exit
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group has ended.
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
