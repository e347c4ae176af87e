import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createKeyring } from '../../service/keys/create.ts'
import { changeKeyring, loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { retireKey, rotateKeys } from '../../service/keys/states.ts'
import { folder } from './keyrings.ts'

/** Where in a process's writable memory these bytes lie, how often. Linux has it as a file. */
function occurrences(pid: number, needle: Uint8Array): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const chunk = Buffer.alloc(4 << 20)
  let found = 0
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
      const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
      const end = Number.parseInt(to, 16)
      for (let at = Number.parseInt(from, 16); at < end; at += chunk.length - needle.length) {
        let read = 0
        try {
          read = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at)
        } catch {
          // Reserved, and nothing there.
          continue
        }
        const part = chunk.subarray(0, read)
        for (let i = part.indexOf(needle); i >= 0; i = part.indexOf(needle, i + 1)) found++
      }
    }
  } finally {
    closeSync(memory)
    chunk.fill(0)
  }
  return found
}

async function tell(child: ChildProcess, line: string): Promise<void> {
  child.stdin?.write(`${line}\n`)
  const ended = once(child, 'close').then(() => Promise.reject(new Error(`it ended at ${line}`)))
  const [said] = await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended])
  expect(String(said).trim()).toBe(line)
}

test.skipIf(process.platform !== 'linux').each(['wasm', 'noble'])(
  'of a key that was retired and reloaded, and of all keys at the end, no byte is left in the process (%s)',
  async (kernel) => {
    const file = join(folder(), 'keys.json')
    await saveKeyring(file, createKeyring({ randomBytes, now: Date.now() }), randomBytes)
    const child = spawn(process.execPath, [join(import.meta.dirname, 'keys-memory-run.ts'), file, kernel], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const material = async (which: number) => {
      const found = (await loadKeyring(file)).domains[0]?.keys[which]?.material
      if (found?.format !== 'v2') throw new Error('no such key')
      return found
    }
    const count = ({ aead, mac }: Awaited<ReturnType<typeof material>>) => ({
      aead: occurrences(child.pid as number, aead),
      mac: occurrences(child.pid as number, mac),
    })
    const old = await material(0)
    await tell(child, 'work')
    // The cipher holds its key while it works: else nothing here would be looked at.
    expect(count(old).aead).toBeGreaterThan(0)

    await changeKeyring(file, (data) => retireKey(rotateKeys(data, { randomBytes, now: Date.now() }), old.id))
    await tell(child, 'reload')
    const now = await material(1)
    expect(count(old)).toEqual({ aead: 0, mac: 0 })
    expect(count(now).aead).toBeGreaterThan(0)

    await tell(child, 'dispose')
    expect(count(now)).toEqual({ aead: 0, mac: 0 })
  },
  120_000,
)
