import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { embeddedService } from '../../service/operations/embedded.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { kernelThreads, type ThreadsOptions } from '../../service/operations/threads/threads.ts'
import { KEYS } from '../crypto/vectors.ts'
import { folder, vectorKeyring } from './keyrings.ts'

// Threads start while other tests run.
vi.setConfig({ testTimeout: 60_000 })

const IDENTIFIERS = Array.from({ length: 20_000 }, (_, i) => (i % 97 === 0 ? `Zürich 車 ${i}` : `VIN${i}`))

function pool(options: ThreadsOptions = {}) {
  const threads = kernelThreads({ threads: 2, startAfter: 0, ...options })
  onTestFinished(() => threads.close())
  return threads
}

test.each(KEYS)(
  'threads make what this thread makes, as strings and as bytes, both ways: $name',
  async ({ material }) => {
    const threads = pool()
    const kernel = threads.wrap(wasmKernel)(material, { randomBytes })
    expect(threads.take(kernel, IDENTIFIERS.length)).toBe(true)
    const forward = { direction: 'pseudonymize', deterministic: true } as const
    const back = { direction: 'reidentify', deterministic: true } as const
    const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
    const made = await threads.run(kernel, IDENTIFIERS, forward)
    expect(threads.running).toBe(2)
    expect(made).toEqual(expected)
    expect(await threads.run(kernel, made, back)).toEqual(IDENTIFIERS)
    const batch = packTexts(IDENTIFIERS) as TextBatch
    const bytes = await threads.runBytes(kernel, batch, forward)
    expect(unpackTexts(bytes)).toEqual(expected)
    // The caller's own were not given away.
    expect(unpackTexts(batch)).toEqual(IDENTIFIERS)
    expect(unpackTexts(await threads.runBytes(kernel, bytes, back))).toEqual(IDENTIFIERS)
    const random = await threads.run(kernel, IDENTIFIERS, { ...forward, deterministic: false })
    expect(new Set([...random, ...expected]).size).toBe(40_000)
    expect(kernel.reidentify(random)).toEqual(IDENTIFIERS)
    expect(await threads.run(kernel, [], forward)).toEqual([])
  },
)

test('random nonces are this thread’s, each used once', async () => {
  const threads = pool()
  let next = 0
  const counting = (count: number) => {
    const bytes = Buffer.alloc(count)
    for (let i = 0; i < count; i += 12) bytes.writeUInt32BE(++next, i)
    return bytes
  }
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes: counting })
  const made = await threads.run(kernel, Array(9_000).fill('a'), { direction: 'pseudonymize', deterministic: false })
  const nonces = made.map((text) => Buffer.from(text, 'base64').readUInt32BE(0))
  expect(nonces.sort((a, b) => a - b)).toEqual(Array.from({ length: 9_000 }, (_, i) => i + 1))
})

test('errors name the indices of the whole batch, and no value', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  const wrong = IDENTIFIERS.with(3, 'SECRET\ud800').with(12_345, 'SECRET'.repeat(20_000)).with(19_999, '\udfff')
  const forward = { direction: 'pseudonymize', deterministic: true } as const
  const error = await threads.run(kernel, wrong, forward).catch((e: unknown) => e)
  expect(error).toMatchObject({
    code: 'identifier/invalid',
    context: { index: 3, indices: [3, 12_345, 19_999], count: 3 },
  })
  expect(String(error)).not.toContain('SECRET')
  const made = await threads.run(kernel, IDENTIFIERS, forward)
  const spoilt = made.map((text, i) => (i >= 9_000 && i < 9_500 ? `${text}=` : i === 15_000 ? `é${text}` : text))
  await expect(threads.run(kernel, spoilt, { direction: 'reidentify', deterministic: true })).rejects.toMatchObject({
    code: 'pseudonym/invalid',
    context: { index: 9_000, indices: Array.from({ length: 100 }, (_, i) => 9_000 + i), count: 501 },
  })
  const bytes = packTexts(made) as TextBatch
  bytes.bytes[bytes.offsets[17_000] as number] = 0xff
  await expect(threads.runBytes(kernel, bytes, { direction: 'reidentify', deterministic: true })).rejects.toMatchObject(
    { context: { indices: [17_000], count: 1 } },
  )
})

test('whoever has little to do starts no thread; many small requests do', async () => {
  const threads = kernelThreads({ threads: 2 })
  onTestFinished(() => threads.close())
  const ring = openKeyring(vectorKeyring(), threads.wrap(wasmKernel), { randomBytes })
  const service = embeddedService(ring, undefined, threads)
  const ask = (values: readonly string[]) =>
    service({ direction: 'pseudonymize', domain: 'vehicle', deterministic: true, values })
  const expected = ring.forward('vehicle').pseudonymize(IDENTIFIERS, { deterministic: true })
  for (let i = 0; i < 20; i++) expect((await ask(IDENTIFIERS.slice(0, 900))).values).toEqual(expected.slice(0, 900))
  expect(threads.running).toBe(0)
  for (let i = 0; i < 60; i++) await ask(IDENTIFIERS.slice(0, 900))
  expect(threads.running).toBe(2)
  const requests = Array.from({ length: 23 }, (_, i) => IDENTIFIERS.slice(i * 900, (i + 1) * 900))
  const answers = await Promise.all(requests.map(ask))
  expect(answers.flatMap(({ values }) => values).join()).toBe(expected.join())
  ring.dispose()
})

test('an operation is the same with threads: nulls, several keys, order, codes', async () => {
  const threads = pool()
  const ring = openKeyring(vectorKeyring(), threads.wrap(wasmKernel), { randomBytes })
  const values = IDENTIFIERS.map((text, i) => (i % 5 === 0 ? null : text))
  const request = { domain: 'default', deterministic: true, values }
  const here = await pseudonymize(ring, request)
  const there = await pseudonymize(ring, request, { threads })
  expect(there).toEqual(here)
  const pinned = await pseudonymize(ring, { ...request, key: '29k0' }, { threads })
  const mixed = there.values.map((value, i) => (i % 2 === 0 ? value : (pinned.values[i] ?? null)))
  const back = await reidentify(ring, { domain: 'default', values: mixed }, { threads })
  expect(back.values).toEqual(values)
  expect([...back.keys].sort()).toEqual(['29k0', '5kl9'])
  await expect(
    pseudonymize(ring, { ...request, values: values.with(7_001, 'x\ud800') }, { threads }),
  ).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: { indices: [7_001], codes: ['identifier/not-unicode'] },
  })
  let pauses = 0
  const leave = async () => {
    if (++pauses === 2) throw new Error('gone')
  }
  await expect(pseudonymize(ring, request, { threads, pause: leave })).rejects.toThrow('gone')
  ring.dispose()
})

test('disposing of a key wipes it for every thread, of the last one ends them', async () => {
  const threads = pool()
  const open = threads.wrap(wasmKernel)
  const [a, b] = [open(key(), { randomBytes }), open((KEYS[2] as (typeof KEYS)[0]).material, { randomBytes })]
  const how = { direction: 'pseudonymize', deterministic: true } as const
  const before = await threads.run(b, IDENTIFIERS, how)
  a.dispose()
  a.dispose()
  expect(threads.take(a, 20_000)).toBe(false)
  await expect(threads.run(a, IDENTIFIERS, how)).rejects.toThrow(/wiped/)
  expect(await threads.run(b, IDENTIFIERS, how)).toEqual(before)
  b.dispose()
  await threads.close()
  expect(threads.running).toBe(0)
  await expect(threads.run(b, IDENTIFIERS, how)).rejects.toThrow(/wiped/)
})

test('the one copy of a key that threads share is overwritten, while they have it and when nobody has', async () => {
  const buffers: SharedArrayBuffer[] = []
  const Own = SharedArrayBuffer
  vi.stubGlobal('SharedArrayBuffer', function make(bytes: number) {
    buffers.push(new Own(bytes))
    return buffers.at(-1)
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const threads = pool()
  const kernels = KEYS.slice(0, 3).map(({ material }) => threads.wrap(wasmKernel)(material, { randomBytes }))
  expect(buffers).toHaveLength(3)
  const used = () => buffers.map((buffer) => new Uint8Array(buffer).some((byte) => byte !== 0))
  await threads.run(kernels[0] as PseudonymKernel, IDENTIFIERS, { direction: 'pseudonymize', deterministic: true })
  expect(used()).toEqual([true, true, true])
  kernels[1]?.dispose()
  expect(used()).toEqual([true, false, true])
  kernels[0]?.dispose()
  kernels[2]?.dispose()
  expect(used()).toEqual([false, false, false])
})

test('a key that is wiped while threads work gives no answer that is wrong', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
  const under = threads.run(kernel, IDENTIFIERS, { direction: 'pseudonymize', deterministic: true })
  kernel.dispose()
  const outcome = await under.catch((error: Error) => error.message)
  if (typeof outcome === 'string') expect(outcome).toMatch(/wiped/)
  else expect(outcome).toEqual(expected)
})

test.each([
  ['that can’t start', `throw new Error('SECRET')`],
  [
    'that dies with a job',
    `import { parentPort } from 'node:worker_threads'; parentPort.on('message', (m) => { if (m.kind === 'work') process.exit(3) })`,
  ],
  [
    'that errs',
    `import { parentPort } from 'node:worker_threads'; parentPort.on('message', (m) => { if (m.kind === 'work') parentPort.postMessage({ job: m.job, failed: 'TypeError' }); if (m.kind === 'end') parentPort.close() })`,
  ],
])('a thread %s costs no answer: this one does the work, and says so once', async (_, source) => {
  const file = join(folder(), 'worker.mjs')
  writeFileSync(file, source)
  const said: string[] = []
  const threads = pool({ entry: pathToFileURL(file), say: (reason) => said.push(reason) })
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
  const how = { direction: 'pseudonymize', deterministic: true } as const
  expect(await threads.run(kernel, IDENTIFIERS, how)).toEqual(expected)
  expect(await threads.run(kernel, IDENTIFIERS, how)).toEqual(expected)
  expect(said).toEqual([expect.stringMatching(/worker thread failed/)])
  expect(said.join()).not.toContain('SECRET')
  expect(threads.take(kernel, 20_000)).toBe(false)
})

test('the portable kernel works in threads too', async () => {
  const threads = pool({ kernel: 'noble' })
  const kernel = threads.wrap(nobleKernel)(key(), { randomBytes })
  const some = IDENTIFIERS.slice(0, 3_000)
  const made = await threads.run(kernel, some, { direction: 'pseudonymize', deterministic: true })
  expect(made).toEqual(wasm().pseudonymize(some, { deterministic: true }))
})

test('a number of threads that is none is refused', () => {
  for (const threads of [-1, 1.5, Number.NaN])
    expect(() => kernelThreads({ threads })).toThrow(expect.objectContaining({ code: 'options/invalid' }))
})

test('without threads nothing is wrapped and nothing taken', () => {
  const threads = kernelThreads({ threads: 0, startAfter: 0 })
  expect(threads.take(threads.wrap(wasmKernel)(key(), { randomBytes }), 1e6)).toBe(false)
})

function key() {
  return (KEYS[0] as (typeof KEYS)[0]).material
}

function wasm(): PseudonymKernel {
  return wasmKernel(key(), { randomBytes })
}
