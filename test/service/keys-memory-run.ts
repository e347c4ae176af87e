/** A process that works with a keyring, and does what it is told, line by line; who started it looks into its memory meanwhile. */
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { chooseKernel } from '../../lib/crypto/open.ts'
import { withKeys } from '../../service/keys/live.ts'
import { followKeyring, keyringFile } from '../../service/keys/reload.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { kernelThreads } from '../../service/operations/threads/threads.ts'

const [file = '', kernel] = process.argv.slice(2)
const name = kernel === 'noble' ? 'noble' : 'wasm'
const threads = kernelThreads({ threads: 2, kernel: name, startAfter: 1 })
const openKernel = chooseKernel(name, () => undefined)
const { keyring, reload } = await followKeyring({
  source: keyringFile(file),
  open: (data) => openKeyring(data, threads.wrap(openKernel), { randomBytes }),
  say: () => undefined,
})

const values = Array.from({ length: 5_000 }, (_, i) => `vin-${i}`)
const work = () =>
  withKeys(keyring, async (ring) => {
    const made = await pseudonymize(ring, { domain: 'default', deterministic: true, values }, { threads })
    await reidentify(ring, { domain: 'default', values: made.values }, { threads })
  })

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'work') {
    await threads.start()
    await work()
  } else if (line === 'reload') {
    const reloaded = await reload()
    if (reloaded !== 'replaced') throw new Error(reloaded)
    await work()
  } else if (line === 'dispose') {
    keyring.dispose()
    await threads.close()
  } else process.exit(0)
  process.stdout.write(`${line}\n`)
}
