/** The service in a process of its own, as users run it, reached over HTTP. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { cpuOf, environment } from './measure.ts'

export const BIN = resolve(import.meta.dirname, '../../bin/pseudolake.js')

export interface RunningService {
  readonly url: string
  /** What callers present; the environment variable `KEY` in {@link config}. */
  readonly env: Readonly<Record<'KEY', string>>
  cpuSeconds(): number
  stop(): void
}

export async function startService(keyring: string): Promise<RunningService> {
  const apiKey = randomBytes(24).toString('base64url')
  const child = spawn(process.execPath, [BIN, 'service', 'start', '--keyring', keyring, '--port', '0'], {
    env: environment({ PSEUDOLAKE_API_KEY: apiKey }),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const line = await firstLine(child)
  return {
    url: line.slice('listening on '.length),
    env: { KEY: apiKey },
    cpuSeconds: () => cpuOf(child.pid as number),
    stop: () => void child.kill('SIGTERM'),
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    child.stdout?.once('data', (chunk: Buffer) => done(chunk.toString().split('\n')[0] ?? ''))
    child.once('exit', () => fail(new Error('the service did not start')))
  })
}
