/** A real store for tests: versitygw over a folder, on loopback, as scripts/interop/install.sh puts it on this machine. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VERSITYGW } from '../interop-home.ts'
import { CREDENTIALS, REGION } from './open.ts'

const TRIES = 5
const START_MS = 10_000

export interface Versitygw {
  readonly endpoint: string
  /** Its folder: a bucket is a folder in it. */
  readonly dir: string
  /** What a process needs in its environment to use it. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/** @param buckets that are there when it begins */
export function versitygw(...buckets: string[]): Promise<Versitygw> {
  return started(buckets, ['--keep-alive'])
}

/** A connection for each request: on kept ones it now and then cannot parse what AWS's C++ SDK sends, which PyArrow uses. */
export function versitygwForPyarrow(...buckets: string[]): Promise<Versitygw> {
  return started(buckets, [])
}

async function started(buckets: readonly string[], options: readonly string[]): Promise<Versitygw> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-versitygw-'))
  for (const bucket of buckets) mkdirSync(join(dir, bucket))
  for (let tried = 1; ; tried++) {
    const port = await freePort()
    const child = spawn(
      VERSITYGW,
      ['--port', `127.0.0.1:${port}`, '--region', REGION, ...options, '--quiet', 'posix', dir],
      {
        stdio: 'ignore',
        env: {
          ...process.env,
          ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId,
          ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey,
        },
      },
    )
    running.add(child)
    // Somebody else may have taken the port meanwhile.
    if (!(await answers(port, child))) {
      if (tried === TRIES) throw new Error('versitygw does not start')
      continue
    }
    const endpoint = `http://127.0.0.1:${port}`
    return {
      endpoint,
      dir,
      env: {
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_REGION: REGION,
        AWS_ENDPOINT_URL_S3: endpoint,
      },
      async stop() {
        running.delete(child)
        const ended = new Promise((resolve) => child.once('exit', resolve))
        if (child.exitCode === null && child.kill('SIGKILL')) await ended
        rmSync(dir, { recursive: true, force: true })
      },
    }
  }
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

async function answers(port: number, child: ChildProcess): Promise<boolean> {
  const late = Date.now() + START_MS
  while (Date.now() < late && child.exitCode === null) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('close', () => socket.destroy())
      socket.once('connect', () => socket.end())
    })
    // Another process's, where ours has ended for want of the port.
    if (open) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      return child.exitCode === null
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.kill('SIGKILL')
  return false
}
