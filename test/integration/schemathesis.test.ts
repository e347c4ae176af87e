/** Schemathesis, which makes requests of an OpenAPI file and breaks them, against a running service: docs/openapi.json is kept word for word. */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished } from 'vitest'
import type { LogEntry } from '../../service/app.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { startService } from '../../service/start.ts'
import { SCHEMATHESIS, testWith } from '../helpers/interop.ts'

const OPENAPI = fileURLToPath(new URL('../../docs/openapi.json', import.meta.url))

testWith(
  'schemathesis',
  'the service does what its OpenAPI file says, whatever it is sent, with and without a stage',
  async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const keyring = join(dir, 'keys.json')
    await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
    const caller = {
      name: 'schemathesis',
      key_sha256: createHash('sha256').update('sekret').digest('hex'),
      permissions: ['pseudonymize', 'reidentify'],
      purposes: ['test'],
      until: '2999-01-01',
    }
    writeFileSync(join(dir, 'callers.json'), JSON.stringify({ version: 2, callers: [caller] }))
    const logged: LogEntry[] = []
    const { url, close } = await startService({
      keyring,
      auth: { apiKeys: join(dir, 'callers.json') },
      log: (entry) => void logged.push(entry),
    })
    onTestFinished(close)
    const said = await Promise.all([
      held(dir, url, '--exclude-operation-id', 'reidentify'),
      held(dir, `${url}/Dev`, '--include-operation-id', 'pseudonymize'),
      // Which texts are pseudonyms, no schema can say: a well-formed request may be a 422.
      held(dir, url, '--include-operation-id', 'reidentify', '--exclude-checks', 'positive_data_acceptance'),
    ])
    for (const { stdout } of said) expect(stdout).toMatch(/No issues found/)
    const statuses = new Set(logged.filter(({ event }) => event === 'request').map(({ status }) => status))
    expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 403, 405, 415, 422]))
    expect(logged.filter(({ level }) => level === 'error')).toEqual([])
  },
  300_000,
)

/** Ends with an error where a check fails; its report is the message. */
function held(cwd: string, url: string, ...more: string[]) {
  const asked = ['-H', 'x-api-key: sekret', '-H', 'x-pseudolake-purpose: test', '--seed', '1', '--max-examples', '60']
  const how = ['--checks', 'all', '--no-color', ...more]
  // Hypothesis keeps what it found in the working folder.
  return promisify(execFile)(SCHEMATHESIS, ['run', OPENAPI, '--url', url, ...asked, ...how], { cwd }).catch((error) => {
    throw new Error(String(error.stdout).slice(-6000))
  })
}
