import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { KeyMaterial, PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { embeddedService } from '../../service/operations/embedded.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { viewPlaces } from '../../service/operations/threads/places.ts'
import { kernelThreads, type ThreadsOptions } from '../../service/operations/threads/threads.ts'
import { startService } from '../../service/start.ts'
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
    expect(await threads.run(kernel, IDENTIFIERS, forward)).toEqual(expected)
    await threads.start()
    expect(threads.running).toBe(1)
    const before = threads.shared
    const made = await threads.run(kernel, IDENTIFIERS, forward)
    expect(threads.shared).toBeGreaterThan(before)
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

test('several threads share a batch: no part is lost, none comes to another’s place', async () => {
  const threads = pool({ threads: 4 })
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  expect(threads.running).toBe(3)
  const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
  const forward = { direction: 'pseudonymize', deterministic: true } as const
  const counts = [1, 255, 900, 1_024, 1_025, 2_049, 7_777, 20_000]
  const made = await Promise.all(counts.map((count) => threads.run(kernel, IDENTIFIERS.slice(0, count), forward)))
  for (const [i, count] of counts.entries()) expect(made[i]).toEqual(expected.slice(0, count))
  const bytes = await Promise.all(
    counts.map((count) => threads.runBytes(kernel, packTexts(made[7]?.slice(0, count) as string[]) as TextBatch, BACK)),
  )
  for (const [i, count] of counts.entries())
    expect(unpackTexts(bytes[i] as TextBatch)).toEqual(IDENTIFIERS.slice(0, count))
  expect(threads.shared).toBeGreaterThan(0)
})

test('texts of any length: a part is as much as a place holds, and what no place holds is made here', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  const lengths = [65_536, 0, 1, 65_535, 40_000, 43_691, 21_845, 30_000, 12_345, 9]
  const texts = Array.from({ length: 1_500 }, (_, i) =>
    'x'.repeat(i % 50 === 0 ? (lengths[(i / 50) % 10] as number) : i % 40),
  ).map((text, i) => (i % 7 === 0 ? 'é車'.repeat(text.length / 5) : text))
  const how = { direction: 'pseudonymize', deterministic: true } as const
  const expected = kernel.pseudonymize(texts, { deterministic: true })
  const before = threads.shared
  // Where others have the processors, this thread may be done before the other one has begun.
  for (let run = 0; run < 100 && threads.shared === before; run++)
    expect(await threads.run(kernel, texts, how)).toEqual(expected)
  expect(threads.shared).toBeGreaterThan(before)
  expect(await threads.run(kernel, expected, BACK)).toEqual(texts)
  const bytes = await threads.runBytes(kernel, packTexts(texts) as TextBatch, how)
  expect(unpackTexts(bytes)).toEqual(expected)
  expect(unpackTexts(await threads.runBytes(kernel, bytes, BACK))).toEqual(texts)
})

test('a request of one part is left to a thread that is there', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  const expected = kernel.pseudonymize(IDENTIFIERS.slice(0, 900), { deterministic: true })
  for (let i = 1; i <= 5; i++) {
    const made = await threads.run(kernel, IDENTIFIERS.slice(0, 900), {
      direction: 'pseudonymize',
      deterministic: true,
    })
    expect(made).toEqual(expected)
    expect(threads.shared).toBe(900 * i)
  }
})

test('others have their turn while a batch is worked on', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  let turns = 0
  let isOver = false
  const turn = () => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  const many = Array.from({ length: 100_000 }, (_, i) => `VIN${i}`)
  await threads.run(kernel, many, { direction: 'pseudonymize', deterministic: true })
  isOver = true
  const own = many.length - threads.shared
  // One for each 2,048 values at least that this thread has made.
  expect(turns).toBeGreaterThan(own / 2_048 / 2)
})

test('the service answers others while it works on a large request', async () => {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, vectorKeyring(), randomBytes)
  const service = await startService({ keyring: file, auth: { insecureNoAuth: true }, kernel: 'noble', threads: 2 })
  onTestFinished(() => service.close())
  const ask = (identifiers: readonly string[]) =>
    fetch(`${service.url}/pseudonymization?deterministic=True&domain=vehicle`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ identifiers }),
    }).then((response) => response.json() as Promise<{ pseudonyms: string[] }>)
  const many = Array.from({ length: 70_000 }, (_, i) => `${i}`)
  let isOver = false
  const large = ask(many).finally(() => {
    isOver = true
  })
  let answered = 0
  while (!isOver) {
    const health = await fetch(`${service.url}/health`)
    expect(await health.text()).toBe('{"status":"ok"}')
    if (!isOver) answered++
  }
  expect((await large).pseudonyms).toHaveLength(many.length)
  // Two seconds of the slow kernel, in parts of 50 ms.
  expect(answered).toBeGreaterThan(5)
})

const BACK = { direction: 'reidentify', deterministic: true } as const

test('random nonces are this thread’s, each used once', async () => {
  const threads = pool()
  let next = 0
  const counting = (count: number) => {
    const bytes = Buffer.alloc(count)
    for (let i = 0; i < count; i += 12) bytes.writeUInt32BE(++next, i)
    return bytes
  }
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes: counting })
  await threads.start()
  const made: string[] = []
  // On a busy machine the other thread may sleep through a batch.
  while (threads.shared === 0)
    made.push(
      ...(await threads.run(kernel, Array(9_000).fill('a'), { direction: 'pseudonymize', deterministic: false })),
    )
  const nonces = made.map((text) => Buffer.from(text, 'base64').readUInt32BE(0))
  expect(new Set(nonces).size).toBe(made.length)
  expect(Math.max(...nonces)).toBeLessThanOrEqual(next)
})

test('errors name the indices of the whole batch, and no value', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
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
  // Whatever lengths they have, texts that are no pseudonyms take nobody's place.
  const lengths = ['', 'x', '='.repeat(50), 'A'.repeat(87_421), `${'A'.repeat(87_421)}=`, `${'A'.repeat(100_000)}==`]
  const odd = made.map((text, i) => (i >= 17_000 && i < 17_006 ? (lengths[i - 17_000] as string) : text))
  const refused = { context: { indices: [17_000, 17_001, 17_002, 17_003, 17_004, 17_005], count: 6 } }
  await expect(threads.runBytes(kernel, packTexts(odd) as TextBatch, BACK)).rejects.toMatchObject(refused)
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
  expect(threads.running).toBe(1)
  await threads.start()
  const requests = Array.from({ length: 23 }, (_, i) => IDENTIFIERS.slice(i * 900, (i + 1) * 900))
  const answers = await Promise.all(requests.map(ask))
  expect(answers.flatMap(({ values }) => values).join()).toBe(expected.join())
  expect(threads.shared).toBeGreaterThan(0)
  ring.dispose()
})

test('an operation is the same with threads: nulls, several keys, order, codes', async () => {
  const threads = pool()
  const ring = openKeyring(vectorKeyring(), threads.wrap(wasmKernel), { randomBytes })
  const values = IDENTIFIERS.map((text, i) => (i % 5 === 0 ? null : text))
  const request = { domain: 'default', deterministic: true, values }
  await threads.start()
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
  await threads.start()
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

test('the one copy of a key that threads share is overwritten as soon as all have opened it, or nobody will', async () => {
  const shared = sharedBuffers()
  const held = () => shared.map((buffer) => new Uint8Array(buffer, 4).some((byte) => byte !== 0))
  const materials = KEYS.slice(0, 3).map(({ material }) => material)
  const idle = pool()
  const [a, b] = materials.slice(0, 2).map((material) => idle.wrap(wasmKernel)(material, { randomBytes }))
  expect(held()).toEqual([true, true])
  a?.dispose()
  expect(held()).toEqual([false, true])
  await idle.close()
  expect(held()).toEqual([false, false])
  b?.dispose()

  shared.length = 0
  const threads = pool({ threads: 3 })
  const open = threads.wrap(wasmKernel)
  const kernels = materials.slice(0, 2).map((material) => open(material, { randomBytes }))
  expect(held()).toEqual([true, true])
  await threads.start()
  const keys = shared.slice(0, 2)
  await vi.waitFor(() => expect(keys.flatMap((key) => [...new Uint8Array(key)]).filter(Boolean)).toEqual([]))
  kernels.push(open(materials[2] as KeyMaterial, { randomBytes }))
  const late = shared.at(-1) as SharedArrayBuffer
  await vi.waitFor(() => expect([...new Uint8Array(late)].filter(Boolean)).toEqual([]))
  for (const kernel of kernels) {
    const made = await threads.run(kernel, IDENTIFIERS, { direction: 'pseudonymize', deterministic: true })
    expect(made).toEqual(kernel.pseudonymize(IDENTIFIERS, { deterministic: true }))
  }
  expect(threads.shared).toBeGreaterThan(0)
})

test('nothing of texts is left in shared memory, whatever comes of a batch, and its size is that of its places', async () => {
  const buffers = sharedBuffers()
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  const [control, parts] = buffers.slice(-2) as [SharedArrayBuffer, SharedArrayBuffer]
  const { places } = viewPlaces({ control, parts, count: 3 })
  expect(parts.byteLength).toBeLessThan(1.5 * 2 ** 20)
  const left = () =>
    places.flatMap(({ texts, made }) => [texts.bytes, made.bytes].map((bytes) => bytes.findIndex((byte) => byte !== 0)))
  const clean = [-1, -1, -1, -1, -1, -1]
  const forward = { direction: 'pseudonymize', deterministic: true } as const
  const made = await threads.run(kernel, IDENTIFIERS, forward)
  expect(left()).toEqual(clean)
  await threads.run(kernel, made, BACK)
  expect(left()).toEqual(clean)
  await threads.runBytes(kernel, await threads.runBytes(kernel, packTexts(IDENTIFIERS) as TextBatch, forward), BACK)
  expect(left()).toEqual(clean)
  const spoilt = made.map((text, i) => (i % 1_000 === 999 ? `${text.slice(0, -4)}AAAA` : text))
  await expect(threads.run(kernel, spoilt, BACK)).rejects.toThrow()
  expect(left()).toEqual(clean)
  await expect(threads.run(kernel, IDENTIFIERS.with(900, 'SECRET\ud800'), forward)).rejects.toThrow()
  expect(left()).toEqual(clean)
  const pause = () => Promise.reject(new Error('gone'))
  await expect(threads.run(kernel, IDENTIFIERS, { ...forward, pause })).rejects.toThrow('gone')
  expect(left()).toEqual(clean)
  expect(threads.shared).toBeGreaterThan(0)
})

test('a key that is wiped while threads work gives no answer that is wrong', async () => {
  const threads = pool()
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
  await threads.start()
  const under = threads.run(kernel, IDENTIFIERS, { direction: 'pseudonymize', deterministic: true })
  kernel.dispose()
  const outcome = await under.catch((error: Error) => error.message)
  if (typeof outcome === 'string') expect(outcome).toMatch(/wiped/)
  else expect(outcome).toEqual(expected)
})

/** A thread that takes each part that it is given, and then does this. */
const TAKING = (then: string) => `
  import { parentPort, workerData } from 'node:worker_threads'
  import { changeState, COMMON, STATE, viewPlaces, WORD } from '${pathToFileURL(resolve('service/operations/threads/places.ts'))}'
  const { common, places } = viewPlaces(workerData.places)
  parentPort.postMessage({ kind: 'up' })
  for (;;) {
    const seen = Atomics.load(common, COMMON.news)
    const place = places.find((place) => changeState(place, STATE.ready, STATE.taken + workerData.thread))
    if (place) { ${then} } else if (Atomics.load(common, COMMON.messages) > 1) break
    else Atomics.wait(common, COMMON.news, seen, 100)
  }`

test.each([
  ['that can’t start', `throw new Error('SECRET')`],
  ['that dies with a part', TAKING('process.exit(3)')],
  [
    'that errs',
    TAKING(
      `Atomics.store(place.words, WORD.state, STATE.failed); parentPort.postMessage({ kind: 'failed', reason: 'TypeError' })`,
    ),
  ],
])('a thread %s costs no answer: this one does the work, and says so once', async (_, source) => {
  const said: string[] = []
  const threads = pool({ entry: entry(source), say: (reason) => said.push(reason) })
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  const expected = kernel.pseudonymize(IDENTIFIERS, { deterministic: true })
  const how = { direction: 'pseudonymize', deterministic: true } as const
  await threads.start()
  // The last is one part, which is left to a thread and would be waited for.
  for (const count of [20_000, 20_000, 900])
    expect(await threads.run(kernel, IDENTIFIERS.slice(0, count), how)).toEqual(expected.slice(0, count))
  await vi.waitFor(() => expect(said).toEqual([expect.stringMatching(/worker thread failed/)]))
  expect(said.join()).not.toContain('SECRET')
  expect(threads.shared).toBe(0)
  expect(threads.take(kernel, 20_000)).toBe(false)
})

test('a request of one part is made here where its thread dies with it', async () => {
  const threads = pool({ entry: entry(TAKING('process.exit(3)')) })
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  const some = IDENTIFIERS.slice(0, 900)
  const expected = kernel.pseudonymize(some, { deterministic: true })
  const how = { direction: 'pseudonymize', deterministic: true } as const
  expect(await Promise.all([0, 1, 2, 3].map(() => threads.run(kernel, some, how)))).toEqual(Array(4).fill(expected))
})

test('a thread that never has time is not waited for, and ended at last', async () => {
  const source = `import { parentPort } from 'node:worker_threads'; parentPort.postMessage({ kind: 'up' }); for (;;);`
  const threads = pool({ entry: entry(source) })
  const kernel = threads.wrap(wasmKernel)(key(), { randomBytes })
  await threads.start()
  const how = { direction: 'pseudonymize', deterministic: true } as const
  const made = await threads.run(kernel, IDENTIFIERS, how)
  expect(made).toEqual(kernel.pseudonymize(IDENTIFIERS, { deterministic: true }))
  expect(threads.shared).toBe(0)
  await threads.close()
  expect(threads.running).toBe(0)
})

test.each(['', 'process.exit(0)'])('a process ends though its threads were not closed: %s', (last) => {
  const script = `
    const at = (path) => import(${JSON.stringify(pathToFileURL(`${resolve('.')}/`).href)} + path)
    const { wasmKernel } = await at('lib/crypto/wasm.ts')
    const { kernelThreads } = await at('service/operations/threads/threads.ts')
    const threads = kernelThreads({ threads: 2, startAfter: 0 })
    const random = (count) => new Uint8Array(count)
    const key = { format: 'v2', id: 'ab12', domain: 'd', aead: random(32), mac: random(32) }
    const kernel = threads.wrap(wasmKernel)(key, { randomBytes: random })
    await threads.start()
    const ids = Array.from({ length: 10_000 }, (_, i) => 'VIN' + i)
    await threads.run(kernel, ids, { direction: 'pseudonymize', deterministic: true })
    console.log(threads.shared > 0)
    ${last}`
  const stdout = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  expect(stdout.trim()).toBe('true')
})

test('the portable kernel works in threads too', async () => {
  const threads = pool({ kernel: 'noble' })
  const kernel = threads.wrap(nobleKernel)(key(), { randomBytes })
  await threads.start()
  const some = IDENTIFIERS.slice(0, 3_000)
  const made = await threads.run(kernel, some, { direction: 'pseudonymize', deterministic: true })
  expect(made).toEqual(wasm().pseudonymize(some, { deterministic: true }))
  expect(await threads.run(kernel, made, BACK)).toEqual(some)
  expect(threads.shared).toBeGreaterThan(0)
})

test('a number of threads that is none is refused', () => {
  for (const threads of [-1, 1.5, Number.NaN])
    expect(() => kernelThreads({ threads })).toThrow(expect.objectContaining({ code: 'options/invalid' }))
})

test.each([0, 1])('without other threads nothing is wrapped and nothing taken: %i', (count) => {
  const threads = kernelThreads({ threads: count, startAfter: 0 })
  expect(threads.take(threads.wrap(wasmKernel)(key(), { randomBytes }), 1e6)).toBe(false)
})

function entry(source: string): URL {
  const file = join(folder(), 'worker.mjs')
  writeFileSync(file, source)
  return pathToFileURL(file)
}

/** Those that are made from now on. */
function sharedBuffers(): SharedArrayBuffer[] {
  const buffers: SharedArrayBuffer[] = []
  const Own = SharedArrayBuffer
  vi.stubGlobal('SharedArrayBuffer', function make(bytes: number) {
    buffers.push(new Own(bytes))
    return buffers.at(-1)
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  return buffers
}

function key() {
  return (KEYS[0] as (typeof KEYS)[0]).material
}

function wasm(): PseudonymKernel {
  return wasmKernel(key(), { randomBytes })
}
