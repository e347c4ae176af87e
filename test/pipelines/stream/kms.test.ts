/** A quarantine that is sealed for a key of KMS. */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../../lib/aws/clients.ts'
import { type DataKeys, kmsDataKeys } from '../../../lib/aws/kms.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { sealerOf } from '../../../pipelines/stream/open.ts'
import { openObject, openQuarantine } from '../../../pipelines/stream/quarantine/contents.ts'
import { kmsOpener, kmsSealer } from '../../../pipelines/stream/quarantine/kms.ts'
import { openerOf } from '../../../pipelines/stream/quarantine/opener.ts'
import { x25519Opener, x25519Sealer } from '../../../pipelines/stream/quarantine/x25519.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { kinesisFake } from '../../helpers/kinesis/fake.ts'
import { fakeKms, KMS_ALIAS, KMS_ARN } from '../../helpers/kms-fake.ts'
import { placesOf } from './places.ts'
import { recipient, stage } from './stage.ts'

const PLANTED = 'PLANTED-7f3a'
const ABOUT = { job: 'j', shard: 's', first: '1', last: '2', records: 2 }
const PLACE = { table: 'db.t', stream: 'st' }
const unreadable = expect.objectContaining({ code: 'quarantine/unreadable' })

async function keysOf(kms: Awaited<ReturnType<typeof fakeKms>>): Promise<DataKeys> {
  const aws = openAws({ env: kms.aws.env })
  onTestFinished(() => aws.close())
  return kmsDataKeys(() => aws.kms({ region: 'eu-central-1' }))
}

/** Data keys that stay where they were given out, to be looked at. */
function watched(keys: DataKeys): DataKeys & { readonly seen: Uint8Array[] } {
  const seen: Uint8Array[] = []
  return {
    seen,
    async generate(...given) {
      const made = await keys.generate(...given)
      seen.push(made.plain)
      return made
    },
    async unwrap(...given) {
      const plain = await keys.unwrap(...given)
      seen.push(plain)
      return plain
    },
  }
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
}

test('a data key of its own for each object, bound to where its records come from, and wiped', async () => {
  const kms = await fakeKms()
  const keys = watched(await keysOf(kms))
  const sealer = kmsSealer(KMS_ALIAS, PLACE, keys)
  const sealed = [
    await sealer.seal(ABOUT, Buffer.from('one')),
    await sealer.seal({ ...ABOUT, first: '2' }, Buffer.from('two')),
  ]
  expect(kms.contexts).toEqual([
    { purpose: 'pseudolake quarantine', ...PLACE, job: 'j', shard: 's', first: '1', last: '2' },
    { purpose: 'pseudolake quarantine', ...PLACE, job: 'j', shard: 's', first: '2', last: '2' },
  ])
  const opener = kmsOpener(() => keys)
  expect(await opener.open(sealed[0] as Uint8Array, 'x')).toEqual({ about: ABOUT, plain: Buffer.from('one') })
  expect(Buffer.from((await opener.open(sealed[1] as Uint8Array, 'x')).plain).toString()).toBe('two')
  expect(kms.given[0]?.equals(kms.given[1] as Buffer)).toBe(false)
  expect(keys.seen).toHaveLength(4)
  for (const key of keys.seen) expect(Buffer.from(key).equals(Buffer.alloc(32))).toBe(true)
  for (const bytes of sealed) for (const key of kms.given) expect(Buffer.from(bytes).includes(key)).toBe(false)
  // What could not be sealed or opened leaves no key either.
  await expect(sealer.seal(ABOUT, undefined as never)).rejects.toThrow()
  const broken = Buffer.from(sealed[0] as Uint8Array)
  broken[broken.length - 1] = (broken.at(-1) as number) ^ 1
  await expect(opener.open(broken, 'x')).rejects.toThrow(unreadable)
  expect(keys.seen).toHaveLength(6)
  for (const key of keys.seen) expect(Buffer.from(key).equals(Buffer.alloc(32))).toBe(true)
})

test('another context, another key, a changed header and a changed byte open nothing', async () => {
  const kms = await fakeKms()
  const keys = await keysOf(kms)
  const sealed = Buffer.from(await kmsSealer(KMS_ARN, PLACE, keys).seal(ABOUT, Buffer.from('secret')))
  const opener = kmsOpener(() => keys)
  for (const [field, value] of Object.entries({
    table: 'db.u',
    stream: 'su',
    job: 'k',
    shard: 't',
    first: '0',
    last: '3',
  })) {
    const end = sealed.indexOf(0x0a)
    const header = { ...JSON.parse(sealed.subarray(0, end).toString()), [field]: value }
    const changed = Buffer.concat([Buffer.from(JSON.stringify(header)), sealed.subarray(end)])
    await expect(opener.open(changed, 'x'), field).rejects.toThrow(unreadable)
  }
  for (let at = 0; at < sealed.length; at += 7) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    await expect(opener.open(changed, 'x'), `byte ${at}`).rejects.toThrow(unreadable)
  }
  // A number of records that was changed is no part of the context; the object's own tag has it.
  const more = Buffer.from(sealed.toString('latin1').replace('"records":2', '"records":3'), 'latin1')
  await expect(opener.open(more, 'x')).rejects.toThrow(unreadable)
})

test.each([
  ['AccessDeniedException', 'secret/denied', false, 'kms:GenerateDataKey is not allowed'],
  ['DisabledException', 'secret/denied', false, 'disabled'],
  ['NotFoundException', 'secret/not-found', false, 'none of that name'],
  ['InvalidKeyUsageException', 'secret/invalid', false, 'no symmetric key'],
  ['ThrottlingException', 'secret/unavailable', true, 'could not be asked'],
  ['KeyUnavailableException', 'secret/unavailable', true, 'could not be asked'],
])(
  'a key that makes no data key is told at the start, before a record is read: %s',
  async (name, code, retryable, says) => {
    const kms = await fakeKms()
    kms.refuse.set('GenerateDataKey', name)
    const error = await kmsSealer(KMS_ARN, PLACE, await keysOf(kms))
      .ready?.()
      .then(
        () => expect.unreachable(),
        (e: Error) => e,
      )
    expect(error).toMatchObject({ code, retryable, message: expect.stringContaining(says) })
    expect(JSON.stringify(error)).not.toContain('said by the fake')
  },
  30_000,
)

test('a quarantine whose recipient has changed is opened by whom each object is for', async () => {
  const kms = await fakeKms()
  const keys = await keysOf(kms)
  const { publicKey, pem } = recipient()
  const ofKms = await kmsSealer(KMS_ARN, PLACE, keys).seal(ABOUT, Buffer.from('of KMS'))
  const ofKey = await x25519Sealer(publicKey).seal(ABOUT, Buffer.from('of a key'))
  const both = openerOf({ pem, kms: () => keys })
  expect(Buffer.from((await both.open(ofKms, 'x')).plain).toString()).toBe('of KMS')
  expect(Buffer.from((await both.open(ofKey, 'x')).plain).toString()).toBe('of a key')
  await expect(openerOf({ pem: undefined, kms: () => keys }).open(ofKey, 'x')).rejects.toMatchObject({
    code: 'quarantine/unreadable',
    message: expect.stringContaining('--key'),
  })
  await expect(x25519Opener(pem).open(ofKms, 'x')).rejects.toThrow(unreadable)
  await expect(kmsOpener(() => keys).open(ofKey, 'x')).rejects.toThrow(unreadable)
})

test('KMS that is away when records are to be sealed is waited for, and nothing is lost or sealed twice', async () => {
  const on = await stage(2)
  const kms = await fakeKms()
  const real = await keysOf(kms)
  let asked = 0
  const keys: DataKeys = {
    ...real,
    async generate(...given) {
      // The first is the look at the start.
      kms.refuse.clear()
      if (++asked === 2) kms.refuse.set('GenerateDataKey', 'KMSInternalException')
      return real.generate(...given)
    },
  }
  const settings = { quarantine: { path: `${on.dir}/quarantine`, kms_key_id: KMS_ARN } }
  await on.put([{ vin: 'V1' }, 'no JSON', { vin: 'V2' }])
  const { job } = on.prepare(settings)
  const { run, events } = on.prepare(settings, { sealer: sealerOf(job, { sealingKeys: () => keys }) })
  expect(await run.run()).toMatchObject({ rows: 2, quarantined: 1 })
  expect(events).toContainEqual(expect.objectContaining({ event: 'retry', code: 'secret/unavailable' }))
  expect(await on.query('select count(*) from t')).toEqual([['2']])
  const { objects } = await openQuarantine(job, placesOf(on, settings).places)
  expect(objects.map(({ records, status }) => [records, status])).toEqual([[1, 'sealed']])
  const [object] = objects
  const opened = await openObject(
    localStorage(),
    object as NonNullable<typeof object>,
    kmsOpener(() => real),
  )
  expect(Buffer.from(opened[0]?.record.data as Uint8Array).toString()).toBe('no JSON')
}, 30_000)

test('the consumer asks for data keys and for nothing else; who opens asks for the way back, as the environment is', async () => {
  const on = await stage(1)
  const [fake, kms] = [await kinesisFake(), await fakeKms()]
  fake.memory.createStream('s', 2)
  kms.refuse.set('Decrypt', 'AccessDeniedException')
  const config = {
    job: 'test',
    input: { stream: 's', region: 'eu-west-1', endpoint_url: fake.url },
    columns: { vin: { mode: 'deterministic' } },
    service: { embedded: { keyring: on.keyring } },
    output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
    quarantine: { path: join(on.dir, 'quarantine'), kms_key_id: KMS_ARN },
  }
  writeFileSync(join(on.dir, 'stream.json'), JSON.stringify(config))
  const at = { cwd: on.dir, env: { ...fake.env, AWS_ENDPOINT_URL_KMS: kms.aws.url } }
  const cli = (...words: string[]) => pseudolake([...words, '--config', 'stream.json'], at)
  const bad = [`no JSON ${PLANTED}-1`, `{"vin": {"x": "${PLANTED}-2"}}`, `no JSON ${PLANTED}-3`]
  await fake.memory.put(
    's',
    [JSON.stringify({ vin: 'V1' }), ...bad].map((text, i) => ({
      partitionKey: `${PLANTED}-${i}`,
      data: Buffer.from(text),
    })),
  )
  const run = await cli('stream', '--until-caught-up', '--json', '--quiet')
  expect([run.code, run.stderr]).toEqual([1, ''])
  expect(JSON.parse(run.stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ rows: 1, quarantined: 3 })
  // One at the start, and one for each object.
  const sealed = filesBelow(join(on.dir, 'quarantine')).filter((file) => file.endsWith('.sealed'))
  expect(kms.aws.operations()).toEqual(Array.from({ length: 1 + sealed.length }, () => 'GenerateDataKey'))
  expect(new Set(kms.aws.received.map(({ region }) => region))).toEqual(new Set(['eu-central-1']))
  for (const file of filesBelow(on.dir)) expect(readFileSync(file).includes(PLANTED), file).toBe(false)

  const denied = await cli('quarantine', 'open', '--json')
  expect(denied.code).toBe(2)
  expect(JSON.parse(denied.stdout.trimEnd().split('\n').at(-1) ?? '').error).toMatchObject({
    code: 'secret/denied',
    message: expect.stringContaining('kms:Decrypt'),
  })
  expect(denied.stdout + denied.stderr).not.toContain(PLANTED)
  kms.refuse.clear()
  const opened = await cli('quarantine', 'open')
  expect(opened.code).toBe(0)
  const lines = opened.stdout.trimEnd().split('\n')
  expect(lines.map((line) => (JSON.parse(line) as { text: string }).text).toSorted()).toEqual(bad.toSorted())
  const replayed = await cli('quarantine', 'replay', '--json')
  expect(JSON.parse(replayed.stdout)).toMatchObject({ status: 'needs-a-look', rows: 0 })
}, 60_000)

test('bytes that are no data key of KMS say so', async () => {
  const kms = await fakeKms()
  const keys = await keysOf(kms)
  await expect(keys.unwrap(randomBytes(48), KMS_ARN)).rejects.toMatchObject({ code: 'secret/invalid' })
})
