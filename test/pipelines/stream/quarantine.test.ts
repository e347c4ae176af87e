import { createCipheriv, createHash, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { localStorage } from '../../../lib/storage/local.ts'
import { memoryStorage } from '../../../lib/storage/memory.ts'
import { openObject, openQuarantine, purge, selected } from '../../../pipelines/stream/quarantine/contents.ts'
import { readList, writeList } from '../../../pipelines/stream/quarantine/list.ts'
import { replay } from '../../../pipelines/stream/quarantine/replay.ts'
import { x25519Opener, x25519Sealer } from '../../../pipelines/stream/quarantine/x25519.ts'
import { placesOf } from './places.ts'
import { background, recipient, stage, until } from './stage.ts'

const PLANTED = 'PLANTED-7f3a'
const ABOUT = { job: 'j', shard: 's', first: '1', last: '2', records: 2 }

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
}

test('sealed by the documented format, opened by it', async () => {
  const { publicKey, pem } = recipient()
  const theirs = Buffer.from(publicKey, 'base64')
  const sealed = await x25519Sealer(publicKey).seal(ABOUT, Buffer.from('secret'))
  expect(await x25519Opener(pem).open(sealed, 'x')).toEqual({ about: ABOUT, plain: Buffer.from('secret') })
  expect(Buffer.from(sealed).toString('latin1')).not.toContain('secret')

  // Sealed by hand, as docs/stream.md says it.
  const mine = generateKeyPairSync('x25519')
  const ephemeral = mine.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const line = `${JSON.stringify({
    format: 'pseudolake/quarantine',
    version: 1,
    algorithm: 'X25519-HKDF-SHA256-AES256GCM',
    recipient: `x25519:${createHash('sha256').update(theirs).digest('hex').slice(0, 16)}`,
    ephemeral: ephemeral.toString('base64'),
    ...ABOUT,
  })}\n`
  const der = Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), theirs])
  const secret = diffieHellman({
    privateKey: mine.privateKey,
    publicKey: createPublicKey({ key: der, format: 'der', type: 'spki' }),
  })
  const salt = Buffer.concat([ephemeral, theirs])
  const key = Buffer.from(hkdfSync('sha256', secret, salt, 'pseudolake/quarantine/v1', 32))
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(Buffer.from(line))
  const byHand = Buffer.concat([Buffer.from(line), cipher.update('by hand'), cipher.final(), cipher.getAuthTag()])
  expect(Buffer.from((await x25519Opener(pem).open(byHand, 'x')).plain).toString()).toBe('by hand')
})

test('another key, a changed header and a changed byte open nothing', async () => {
  const { publicKey, pem } = recipient()
  const sealed = Buffer.from(await x25519Sealer(publicKey).seal(ABOUT, Buffer.from('secret')))
  const unreadable = expect.objectContaining({ code: 'quarantine/unreadable' })
  await expect(x25519Opener(recipient().pem).open(sealed, 'x')).rejects.toThrow(unreadable)
  for (let at = 0; at < sealed.length; at += 7) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    await expect(x25519Opener(pem).open(changed, 'x'), `byte ${at}`).rejects.toThrow(unreadable)
  }
})

test('bad records are sealed by shard and sequence numbers, committed with the rows around them, and nowhere in clear', async () => {
  const on = await stage(2)
  const { publicKey, pem } = recipient()
  const settings = { quarantine: { path: `${on.dir}/quarantine`, recipient: publicKey } }
  const bad = [
    `{"vin": {"x": "${PLANTED}"}}`,
    `{${PLANTED}`,
    Buffer.from([0xff, 0xfe]),
    `{"vin": "${'x'.repeat(70_000)}"}`,
  ]
  await on.put([{ vin: 'V1', n: 1 }, ...bad, { vin: 'V2', n: 2 }], (_, i) => `${PLANTED}-${i}`)
  const report = await on.run(settings)
  expect(report).toMatchObject({ records: 6, rows: 2, quarantined: 4, commits: 1 })
  const { job, places } = placesOf(on, settings)
  const { objects } = await openQuarantine(job, places)
  expect(objects.reduce((sum, { records }) => sum + records, 0)).toBe(4)
  for (const { status, name, shard, first, last } of objects) {
    expect(status).toBe('sealed')
    expect(shard).toMatch(/^shardId-00000000000[01]$/)
    expect(name.startsWith(`${first}-${last}-`)).toBe(true)
  }
  const reasons = objects.flatMap((object) => Object.keys(object.reasons)).toSorted()
  expect([...new Set(reasons)]).toEqual(['no-text', 'not-json', 'not-utf8', 'too-long'])
  const opened = []
  for (const object of objects) opened.push(...(await openObject(localStorage(), object, x25519Opener(pem))))
  expect(opened.map(({ record }) => Buffer.from(record.data).toString('hex')).toSorted()).toEqual(
    bad.map((data) => Buffer.from(data as string).toString('hex')).toSorted(),
  )
  for (const file of filesBelow(on.dir)) expect(readFileSync(file).includes(PLANTED), file).toBe(false)
})

test('a hundred lists are read as one, and never more than sixty-four after the other', async () => {
  const storage = memoryStorage()
  const reads: string[] = []
  const counting = {
    ...storage,
    read: (location: string) => {
      reads.push(location)
      return storage.read(location)
    },
  }
  const object = (i: number) => ({
    ...{
      location: `memory:/q/${i}`,
      sha256: 'x',
      shard: 's',
      first: '1',
      last: '1',
      records: 2,
      bytes: 1,
      sealedMs: 0,
    },
    reasons: { 'not-json': 2 },
  })
  let ref: Awaited<ReturnType<typeof writeList>> | undefined
  for (let i = 0; i < 200; i++) ref = await writeList(counting, `memory:/lists/${i}`, [object(i)], ref)
  expect(ref?.records).toBe(400)
  reads.length = 0
  const all = await readList(counting, ref as NonNullable<typeof ref>)
  expect(all.map(({ location }) => location)).toEqual(Array.from({ length: 200 }, (_, i) => `memory:/q/${i}`))
  expect(reads.length).toBeLessThanOrEqual(65)
})

test('a commit without bad records goes on naming those before it', async () => {
  const on = await stage(1)
  const settings = { quarantine: { path: `${on.dir}/quarantine`, recipient: recipient().publicKey } }
  await on.put(['bad'])
  await on.run(settings)
  await on.put([{ vin: 'V' }])
  await on.run(settings)
  const { job, places } = placesOf(on, settings)
  expect((await openQuarantine(job, places)).objects).toHaveLength(1)
})

test('replayed once the schema takes them, each object once, beside a consumer at work', async () => {
  const on = await stage(1)
  const { publicKey, pem } = recipient()
  const settings = {
    schema: { vin: 'string', n: 'long' },
    quarantine: { path: `${on.dir}/quarantine`, recipient: publicKey },
  }
  await on.put([
    { vin: 'V1', n: 1 },
    { vin: 'V2', n: 'two' },
    { vin: 'V3', n: 'three' },
  ])
  await on.run(settings)
  await on.put(['no JSON at all'])
  await on.run(settings)
  const outside = { opener: x25519Opener(pem), runId: 'replay-1', createdBy: 'test', command: 'c', resetCommand: 'r' }
  const before = placesOf(on, settings)
  const untouched = await replay(before.job, [], before.places, outside)
  expect(untouched).toMatchObject({ status: 'needs-a-look', rows: 0 })
  expect(untouched.still_bad.map(({ reasons }) => reasons)).toEqual([{ 'wrong-type': 2 }, { 'not-json': 1 }])

  // The column that is at fault is left out, while a consumer is at work.
  const consumer = background(on, settings)
  await until(() => consumer.run.gauges().state === 'owner')
  const { job, places } = placesOf(on, {
    ...settings,
    columns: { vin: { mode: 'deterministic' }, n: { mode: 'drop' } },
  })
  expect(await replay(job, [], places, { ...outside, runId: 'replay-2' })).toMatchObject({ rows: 2, objects: 1 })
  expect(await replay(job, [], places, { ...outside, runId: 'replay-3' })).toMatchObject({ rows: 0, objects: 0 })
  await on.put([{ vin: 'V4', n: 4 }])
  await until(() => consumer.run.gauges().records === 1)
  consumer.stop()
  expect((await consumer.ended).report).toMatchObject({ rows: 1 })
  const rows = await on.query('select s_vin, n from t order by n nulls last')
  expect(rows.map(([, n]) => n)).toEqual(['1', '4', null, null])
  expect((await on.back(rows.map(([vin]) => vin))).toSorted()).toEqual(['V1', 'V2', 'V3', 'V4'])

  // But nobody gets an identifier into the table in clear.
  const clear = placesOf(on, { ...settings, columns: { n: { mode: 'deterministic' } } })
  await expect(replay(clear.job, [], clear.places, { ...outside, runId: 'replay-4' })).rejects.toMatchObject({
    code: 'table/schema-changed',
  })
}, 30_000)

test('what is purged is gone, and the list says so', async () => {
  const on = await stage(1)
  const quarantine = { path: `${on.dir}/quarantine`, recipient: recipient().publicKey }
  await on.put([{ vin: 'V1' }, { vin: { nested: 1 } }])
  await on.run({ quarantine })
  const { job, places } = placesOf(on, { quarantine })
  const { objects } = await openQuarantine(job, places)
  expect(() => selected(objects, ['nothing'])).toThrow(expect.objectContaining({ code: 'options/invalid' }))
  const chosen = selected(objects, [objects[0]?.name as string])
  expect(await purge(localStorage(), chosen, { reason: 'r', wallMs: 0 })).toBe(1)
  expect((await openQuarantine(job, places)).objects[0]).toMatchObject({ status: 'purged' })
  expect(filesBelow(quarantine.path).filter((file) => file.endsWith('.sealed'))).toEqual([])
})

test('a list that was changed, and an object that was, are noticed', async () => {
  const on = await stage(1)
  const { publicKey, pem } = recipient()
  const settings = { quarantine: { path: `${on.dir}/quarantine`, recipient: publicKey } }
  await on.put(['bad', { vin: 'V' }])
  await on.run(settings)
  const { job, places } = placesOf(on, settings)
  const { objects } = await openQuarantine(job, places)
  const file = filesBelow(`${on.dir}/quarantine`).find((path) => path.endsWith('.sealed')) as string
  writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.from('x')]))
  await expect(openObject(localStorage(), objects[0] as (typeof objects)[0], x25519Opener(pem))).rejects.toMatchObject({
    code: 'quarantine/unreadable',
  })
  const list = filesBelow(`${on.dir}/quarantine`).find((path) => path.includes('/lists/')) as string
  writeFileSync(list, readFileSync(list, 'utf8').replace('"depth":1', '"depth":2'))
  await expect(openQuarantine(job, places)).rejects.toMatchObject({ code: 'quarantine/unreadable' })
})
