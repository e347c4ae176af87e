/** What a connection loads of Node: a run pays for it at each start (docs/evidence.md, Start-up). */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const CONNECTIONS = join(import.meta.dirname, '../../../lib/client/transports/connections.ts')

async function loadedFor(origin: string): Promise<string[]> {
  const script = `
    const { direct } = await import(${JSON.stringify(CONNECTIONS)})
    await direct({ origin: ${JSON.stringify(origin)}, maxConnections: 1, connectTimeoutMs: 1000 }).close()
    process.stdout.write(JSON.stringify(process.moduleLoadList))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  return JSON.parse(stdout)
}

test('http loads neither TLS nor Node’s fetch, and https loads TLS', async () => {
  const plain = await loadedFor('http://127.0.0.1:9')
  expect(plain).toContain('NativeModule http')
  expect(plain).not.toContain('NativeModule tls')
  expect(plain).not.toContain('NativeModule internal/deps/undici/undici')
  expect(await loadedFor('https://127.0.0.1:9')).toContain('NativeModule tls')
})
