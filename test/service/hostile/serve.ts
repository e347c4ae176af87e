/** Two services in a process of their own, for tests that look at its memory: `node serve.ts FOLDER`. The first one's deadlines are short. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createKeyring } from '../../../service/keys/create.ts'
import { saveKeyring } from '../../../service/keys/file.ts'
import { startService } from '../../../service/start.ts'

const keyring = join(process.argv[2] ?? '', 'keys.json')
await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
const own = { keyring, auth: { insecureNoAuth: true } }
const strict = await startService({
  ...own,
  headersTimeoutMs: 1_000,
  requestTimeoutMs: 3_000,
  maxConnections: 300,
})
const patient = await startService(own)
process.once('SIGTERM', () => void Promise.all([strict.close(), patient.close()]))
process.stdout.write(`${strict.url} ${patient.url}\n`)
