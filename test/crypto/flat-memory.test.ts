import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

/**
 * In a process of its own: batches of 100,000, as strings and as bytes, in this thread alone and with two others, there and back. Prints the resident
 * memory in MB after each round.
 */
const SCRIPT = `
  const at = (path) => import(${JSON.stringify(`file://${resolve('.')}/`)} + path)
  const { randomBytes } = await import('node:crypto')
  const { wasmKernel } = await at('lib/crypto/wasm.ts')
  const { packTexts } = await at('lib/core/texts.ts')
  const { kernelThreads } = await at('service/operations/threads/threads.ts')
  const threads = kernelThreads({ threads: 3, startAfter: 0 })
  const key = { format: 'v2', id: 'ab12', domain: 'd', aead: randomBytes(32), mac: randomBytes(32) }
  const kernel = threads.wrap(wasmKernel)(key, { randomBytes })
  const ids = Array.from({ length: 100_000 }, (_, i) => 'WVWZZZ' + i)
  const there = { direction: 'pseudonymize', deterministic: true }
  const back = { direction: 'reidentify', deterministic: true }
  await threads.start()
  const resident = []
  for (let round = 0; round < 8; round++) {
    kernel.reidentify(kernel.pseudonymize(ids, there))
    kernel.reidentifyBytes(kernel.pseudonymizeBytes(packTexts(ids), there))
    await threads.run(kernel, await threads.run(kernel, ids, there), back)
    await threads.runBytes(kernel, await threads.runBytes(kernel, packTexts(ids), there), back)
    gc()
    resident.push(process.memoryUsage().rss / 2 ** 20)
  }
  kernel.dispose()
  await threads.close()
  console.log(JSON.stringify({ shared: threads.shared, resident, outside: process.memoryUsage().arrayBuffers / 2 ** 20 }))
`

test('millions of identifiers later, memory is what it was: strings, bytes, threads', { timeout: 240_000 }, () => {
  const stdout = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', SCRIPT], {
    encoding: 'utf8',
  })
  const { resident, outside, shared } = JSON.parse(stdout) as { resident: number[]; outside: number; shared: number }
  expect(shared).toBeGreaterThan(800_000)
  expect(resident).toHaveLength(8)
  // The first rounds fill the heap's spaces. A batch is 8 MB of pseudonyms: one of the four kinds held in each round would be 40 MB.
  expect((resident[7] as number) - (resident[2] as number)).toBeLessThan(32)
  expect(resident[7]).toBeLessThan(512)
  // What is held after the last key is gone: the input, and this thread's engine.
  expect(outside).toBeLessThan(32)
})
