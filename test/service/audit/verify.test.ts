import { randomBytes } from 'node:crypto'
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { memoryStorage } from '../../../lib/storage/memory.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { anchored, fileAnchors, readAnchor, storageAnchors } from '../../../service/audit/anchors.ts'
import type { Audit, AuditEntry } from '../../../service/audit/audit.ts'
import { readHeader, readLink } from '../../../service/audit/chain.ts'
import { exportAudit } from '../../../service/audit/export.ts'
import { fileAudit } from '../../../service/audit/file.ts'
import { storageAudit } from '../../../service/audit/objects.ts'
import { openAudit } from '../../../service/audit/open.ts'
import { checkAudit } from '../../../service/audit/verify.ts'
import { folder } from '../keyrings.ts'

const entry = (request_id: string, more: Partial<AuditEntry> = {}): AuditEntry => ({
  request_id,
  caller: 'desk',
  direction: 'reidentify',
  domain: 'default',
  keys: ['5kl9'],
  purpose: 'fraud-case',
  values: 1,
  outcome: 'answered',
  ...more,
})

/** Its minutes pass when they are told to. */
function steppedClock() {
  let wall = Date.UTC(2026, 10, 26)
  let wake: (() => void) | undefined
  return {
    now: () => wall,
    wall: () => wall,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
        wake = () => {
          wall += ms
          resolve()
        }
      }),
    minute: () => wake?.(),
    tick: () => {
      wall += 1000
    },
  }
}

const never = (error: unknown) => {
  throw error
}

/** A record of `count` entries in a folder, anchored at its beginning and after `at` of them. */
async function recorded(count: number, at: number) {
  const dir = folder()
  const place = join(dir, 'audit')
  const clock = steppedClock()
  const anchors = join(dir, 'audit.anchors.jsonl')
  const audit = await fileAudit(place, { now: clock.wall, randomBytes })
  const store = fileAnchors(anchors)
  for (let i = 0; i <= count; i++) {
    if (i === 0 || i === at) await store.add({ ...(await audit.seal()), time: '' })
    if (i < count) await audit.record(entry(`r${i + 1}`), { durable: false })
  }
  await audit.close()
  const [name = ''] = readdirSync(place)
  const file = join(place, name)
  const check = (withAnchors = true) => checkAudit(localStorage(), place, withAnchors ? anchors : undefined)
  return { dir, place, file, anchors, check, lines: () => readFileSync(file, 'utf8').split('\n').slice(0, -1) }
}

const problems = async (report: ReturnType<typeof checkAudit>) => {
  const { status, chains } = await report
  return [status, chains.flatMap((chain) => chain.problems.map(({ what, line, n }) => [what, line ?? n]))]
}

test('a record that nobody touched is whole, and says how many entries came after the last anchor', async () => {
  const { check } = await recorded(10, 7)
  const report = await check()
  expect(report).toMatchObject({ status: 'whole', entries: 10, unanchored: 3, unreadable_anchors: 0 })
  expect(report.chains).toHaveLength(1)
  expect(report.chains[0]).toMatchObject({ files: 1, anchors: 2, superseded: 0, torn: 0, problems: [] })
  expect(await check(false)).toMatchObject({ status: 'whole', entries: 10, unanchored: 10 })
})

test('a line that was changed, taken out or put elsewhere shows, as one problem', async () => {
  const changed = await recorded(5, 5)
  writeFileSync(changed.file, readFileSync(changed.file, 'utf8').replace('"request_id":"r3"', '"request_id":"rX"'))
  expect(await problems(changed.check(false))).toEqual(['broken', [['altered', 5]]])
  const out = await recorded(5, 5)
  const lines = out.lines()
  writeFileSync(out.file, `${lines.filter((_, i) => i !== 2).join('\n')}\n`)
  expect(await problems(out.check(false))).toEqual(['broken', [['altered', 3]]])
  const last = await recorded(5, 5)
  writeFileSync(last.file, readFileSync(last.file, 'utf8').replace('"request_id":"r5"', '"request_id":"rX"'))
  // Nothing follows the last line, so that only its anchor tells.
  expect(await problems(last.check(false))).toEqual(['whole', []])
  expect(await problems(last.check())).toEqual(['broken', [['differs', 5]]])
})

test('an end that was cut off shows where an anchor reaches beyond it, and a missing file by its anchors', async () => {
  const { file, check, lines } = await recorded(6, 4)
  writeFileSync(file, `${lines().slice(0, 6).join('\n')}\n`)
  expect(await problems(check())).toEqual(['whole', []])
  writeFileSync(file, `${lines().slice(0, 4).join('\n')}\n`)
  expect(await problems(check())).toEqual(['broken', [['cut', 4]]])
  const other = await recorded(1, 1)
  appendFileSync(other.anchors, readFileSync((await recorded(2, 2)).anchors))
  expect(await problems(other.check())).toEqual([
    'broken',
    [
      ['gone', 0],
      ['gone', 2],
    ],
  ])
})

test('a record that was written anew, with hashes that agree, shows by its anchors alone', async () => {
  const { place, file, check } = await recorded(3, 3)
  const { chain } = JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '')
  rmSync(file)
  const forged = await fileAudit(place, { now: () => 0, randomBytes: (n) => Buffer.from(chain, 'hex').subarray(0, n) })
  for (const id of ['r1', 'r2', 'r3']) await forged.record(entry(id, { purpose: 'other' }), { durable: false })
  await forged.close()
  expect(await problems(check(false))).toEqual(['whole', []])
  expect(await problems(check())).toEqual([
    'broken',
    [
      ['differs', 0],
      ['differs', 3],
    ],
  ])
})

test('a line that a crash cut off is said, and no forgery', async () => {
  const { file, anchors, check } = await recorded(3, 2)
  truncateSync(file, readFileSync(file).length - 5)
  appendFileSync(anchors, '{"version":1,"chain":"ab')
  const report = await check()
  expect(report).toMatchObject({ status: 'whole', entries: 2, unreadable_anchors: 1 })
  expect(report.chains[0]?.torn).toBe(1)
  // What comes after it is on a line of its own.
  await fileAnchors(anchors).add({ chain: 'ff', n: 0, hash: 'x', time: '' })
  expect(await problems(check())).toEqual(['broken', [['gone', 0]]])
})

test('files of one chain follow each other, and one that is missing in between shows', async () => {
  const dir = join(folder(), 'audit')
  const handle = await openFile(join(folder(), 'x'), 'w')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  let time = 0
  const audit = await fileAudit(dir, { now: () => time++ * 1000, randomBytes })
  for (const id of ['a', 'b', 'c']) {
    await audit.record(entry(id), { durable: true })
    const append = vi.spyOn(prototype, 'appendFile').mockRejectedValueOnce(new Error('full'))
    await expect(audit.record(entry('lost'), { durable: true })).rejects.toThrow('full')
    append.mockRestore()
  }
  await audit.close()
  expect(await checkAudit(localStorage(), dir, undefined)).toMatchObject({
    status: 'whole',
    entries: 3,
    chains: [{ files: 3, superseded: 0 }],
  })
  rmSync(join(dir, readdirSync(dir).sort()[1] ?? ''))
  expect(await problems(checkAudit(localStorage(), dir, undefined))).toEqual(['broken', [['unlinked', 1]]])
})

test('records of many processes lie in one folder, those of version 1 among them; a newer version is refused', async () => {
  const { place, check } = await recorded(2, 2)
  const old = '{"version":1,"started":"2026-01-01T00:00:00.000Z","previous":"0000"}'.replace('0000', '0'.repeat(64))
  writeFileSync(join(place, 'audit-20260101T000000000Z-00000000.jsonl'), `${old}\n`)
  writeFileSync(join(place, 'notes.txt'), 'not ours')
  expect(await check()).toMatchObject({ status: 'whole', entries: 2, chains: [{ chain: '' }, {}] })
  writeFileSync(join(place, 'audit-30260101T000000000Z-00000000.jsonl'), `${old.replace('1', '3')}\n`)
  await expect(check()).rejects.toMatchObject({ code: 'audit/unsupported' })
  await expect(checkAudit(localStorage(), folder(), undefined)).rejects.toMatchObject({ code: 'input/not-found' })
})

test('anchors come at once, each minute in which something happened, and at the end', async () => {
  const storage = memoryStorage()
  const clock = steppedClock()
  const seen: number[] = []
  const inner = await fileAudit(join(folder(), 'audit'), { now: clock.wall, randomBytes })
  let told: () => void = () => undefined
  const audit = await anchored(inner, storageAnchors(storage, 'memory:/anchors/'), {
    clock,
    failed: never,
    anchored({ n }) {
      seen.push(n)
      told()
    },
  })
  const next = () => new Promise<void>((resolve) => (told = resolve))
  expect(seen).toEqual([0])
  await audit.record(entry('a'), { durable: false })
  const first = next()
  clock.minute()
  await first
  await audit.record(entry('b'), { durable: true })
  await audit.record(entry('c'), { durable: false })
  await audit.close()
  expect(seen).toEqual([0, 1, 3])
  const names = []
  for await (const { location } of storage.list('memory:/anchors/')) names.push(location.split('/').at(-1))
  expect(names.sort()).toEqual(['000000000000.json', '000000000001.json', '000000000003.json'])
})

test('an anchor that is there is not written over: the same one is fine, another one is a conflict', async () => {
  const store = storageAnchors(memoryStorage(), 'memory:/anchors/')
  const anchor = { chain: 'ab', n: 5, hash: 'x', time: '' }
  await store.add(anchor)
  await store.add({ ...anchor, time: 'later' })
  await expect(store.add({ ...anchor, hash: 'y' })).rejects.toMatchObject({ code: 'storage/conflict' })
})

test('a place for anchors that can’t be written stops the start, and later only says so', async () => {
  const dir = folder()
  writeFileSync(join(dir, 'x'), '')
  const options = { place: join(dir, 'audit'), clock: steppedClock(), randomBytes, failed: never }
  await expect(openAudit({ ...options, anchors: join(dir, 'x', 'y') })).rejects.toMatchObject({
    code: 'storage/denied',
  })
  const failures: unknown[] = []
  let broken = false
  const inner = await fileAudit(join(dir, 'other'), { now: () => 0, randomBytes })
  const store = { add: async () => (broken ? Promise.reject(new Error('away')) : undefined) }
  const audit = await anchored(inner, store, { clock: options.clock, failed: (error) => void failures.push(error) })
  broken = true
  await audit.record(entry('a'), { durable: true })
  await audit.close()
  expect(failures).toHaveLength(1)
})

/** A storage whose `create` does what it is told to. */
function faulty(
  storage: Storage,
  behave: (location: string, put: () => Promise<unknown>) => Promise<unknown>,
): Storage {
  return {
    ...storage,
    create: (location, bytes) =>
      behave(location, () => storage.create(location, bytes)) as ReturnType<Storage['create']>,
  }
}

test('in a store, a way back is an object before it is answered, and ways forward come with the next one', async () => {
  const storage = memoryStorage()
  const clock = steppedClock()
  const audit = await openAudit({ place: 'memory:/calls', storage, clock, randomBytes, failed: never })
  const forward = entry('f', { direction: 'pseudonymize' })
  await Promise.all([audit.record(forward, { durable: false }), audit.record(forward, { durable: false })])
  const report = () => checkAudit(storage, 'memory:/calls', 'memory:/calls.anchors/')
  expect((await report()).entries).toBe(0)
  await audit.record(entry('b'), { durable: true })
  expect(await report()).toMatchObject({ status: 'whole', entries: 3, unanchored: 3 })
  await audit.record(forward, { durable: false })
  await audit.close()
  expect(await report()).toMatchObject({
    status: 'whole',
    entries: 4,
    unanchored: 0,
    chains: [{ files: 3, superseded: 0 }],
  })
})

test('an object whose answer was lost is written again under another name, and counts once', async () => {
  const inner = memoryStorage()
  let lost = 0
  const storage = faulty(inner, async (_, put) => {
    const stored = await put()
    if (lost-- > 0) throw new PseudolakeError('storage/unknown', 'the answer was lost')
    return stored
  })
  const clock = steppedClock()
  const audit = await storageAudit(storage, 'memory:/calls/', { now: clock.wall, randomBytes })
  await audit.record(entry('a'), { durable: true })
  lost = 2
  for (const id of ['b', 'c']) {
    clock.tick()
    await expect(audit.record(entry(id), { durable: true })).rejects.toMatchObject({ code: 'storage/unknown' })
  }
  await audit.record(entry('d'), { durable: true })
  await audit.close()
  // Entries of refused calls are kept, and come with the one that went through: a call too many on record, never one too few.
  const report = await checkAudit(inner, 'memory:/calls', undefined)
  expect(report).toMatchObject({ status: 'whole', entries: 4, chains: [{ files: 5, superseded: 3 }] })
})

test('entries that a store does not take are held up to a limit, then refused', async () => {
  const storage = faulty(memoryStorage(), (location, put) =>
    location.endsWith('000001.jsonl') ? put() : Promise.reject(new Error('away')),
  )
  const audit = await storageAudit(storage, 'memory:/calls/', { now: () => 0, randomBytes })
  const forward = entry('f', { direction: 'pseudonymize' })
  const calls = Array.from({ length: 100_000 }, () => audit.record(forward, { durable: false }))
  await Promise.all(calls)
  await expect(audit.record(forward, { durable: false })).rejects.toMatchObject({ code: 'storage/failed' })
})

test('entries come out in order, by time, caller, direction and domain', async () => {
  const dir = join(folder(), 'audit')
  const clock = steppedClock()
  const audit: Audit = await fileAudit(dir, { now: clock.wall, randomBytes })
  await audit.record(entry('a'), { durable: false })
  clock.tick()
  await audit.record(entry('b', { caller: 'job', direction: 'pseudonymize' }), { durable: false })
  clock.tick()
  await audit.record(entry('c', { domain: 'vehicle' }), { durable: false })
  await audit.close()
  const ids = async (filter: Parameters<typeof exportAudit>[2]) => {
    const found = []
    for await (const { request_id, chain, n } of exportAudit(localStorage(), dir, filter)) {
      expect(chain).toMatch(/^[0-9a-f]{16}$/)
      expect(n).toBeGreaterThan(0)
      found.push(request_id)
    }
    return found.join('')
  }
  const start = Date.UTC(2026, 10, 26)
  expect(await ids({})).toBe('abc')
  expect(await ids({ since: start + 1000 })).toBe('bc')
  expect(await ids({ until: start + 1000 })).toBe('a')
  expect(await ids({ caller: 'job' })).toBe('b')
  expect(await ids({ direction: 'reidentify' })).toBe('ac')
  expect(await ids({ domain: 'vehicle', since: start })).toBe('c')
})

test('whatever the bytes of a record and its anchors, checking it ends with a report or a code', async () => {
  const line = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constant('{"n":1,"time":"2026-01-01T00:00:00Z","previous":"x"}'),
    fc.constant('{"version":2,"chain":"a","started":"","n":0,"previous":"y"}'),
    fc.constant('{"version":1,"chain":"a","n":1,"hash":"z"}'),
  )
  for (const read of [readHeader, readLink, readAnchor]) fc.assert(fc.property(line, (text) => void read(text)))
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(line, { maxLength: 6 }).map((lines) => Buffer.from(lines.join('\n'))),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(bytes, { minLength: 1, maxLength: 3 }), bytes, async (files, anchors) => {
      const storage = memoryStorage()
      for (const [i, file] of files.entries()) await storage.create(`memory:/r/audit-${i}.jsonl`, file)
      await storage.create('memory:/r.anchors.jsonl', anchors)
      try {
        const { status } = await checkAudit(storage, 'memory:/r', 'memory:/r.anchors.jsonl')
        expect(['whole', 'broken']).toContain(status)
        for await (const exported of exportAudit(storage, 'memory:/r', {})) expect(exported).toHaveProperty('chain')
      } catch (error) {
        expect(isPseudolakeError(error, 'audit/unsupported')).toBe(true)
      }
    }),
    { numRuns: 500 },
  )
})
