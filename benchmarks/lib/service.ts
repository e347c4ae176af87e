/** The service in a process of its own, as users run it, reached over HTTP. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { cpuOf, environment } from './measure.ts'

export const BIN = resolve(import.meta.dirname, '../../bin/pseudolake.js')

export interface RunningService {
  readonly url: string
  /** The program that it is of. */
  readonly bin: string
  /** What callers present; the environment variable `KEY` in {@link config}. */
  readonly env: Readonly<Record<'KEY', string>>
  cpuSeconds(): number
  /** Resident now. */
  rssMb(): number
  /** Resolves when it is gone, and writes nothing any more. */
  stop(): Promise<void>
}

export interface ServiceOptions {
  /** Of the program. @default this checkout's */
  readonly bin?: string
  /** More options of the command. */
  readonly words?: readonly string[]
  /** The caller may go back too, in every domain; needs a file of callers beside the keyring. @default forward only */
  readonly bothWays?: boolean
}

export async function startService(
  keyring: string,
  { bin = BIN, words = [], bothWays = false }: ServiceOptions = {},
): Promise<RunningService> {
  const apiKey = randomBytes(24).toString('base64url')
  const command = [bin, 'service', 'start', '--keyring', keyring, '--port', '0', ...words]
  if (bothWays) {
    const file = `${keyring}.callers-${randomBytes(4).toString('hex')}.json`
    const key_sha256 = createHash('sha256').update(apiKey).digest('hex')
    const caller = { name: 'bench', key_sha256, permissions: ['pseudonymize', 'reidentify'], domains: ['*'] }
    writeFileSync(file, JSON.stringify([caller]))
    command.push('--api-keys', file)
  }
  const child = spawn(process.execPath, command, {
    env: environment(bothWays ? {} : { PSEUDOLAKE_API_KEY: apiKey }),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const line = await firstLine(child)
  return {
    url: line.slice('listening on '.length),
    bin,
    env: { KEY: apiKey },
    cpuSeconds: () => cpuOf(child.pid as number),
    rssMb() {
      const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]
      return Math.round(Number(kilobytes) / 1024)
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    },
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    child.stdout?.once('data', (chunk: Buffer) => done(chunk.toString().split('\n')[0] ?? ''))
    child.once('exit', () => fail(new Error('the service did not start')))
  })
}
