import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type KeyringData, wipe } from '../../lib/crypto/keyring.ts'
import { createKeyring, importOriginal } from '../../service/keys/create.ts'
import { changeKeyring, loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { parseKeyring, writeKeyring } from '../../service/keys/format.ts'
import { rotateKeys } from '../../service/keys/states.ts'
import { ORIGINAL } from '../crypto/vectors.ts'
import { folder, open, vectorKeyring } from './keyrings.ts'

const now = Date.parse('2026-01-31T12:00:00Z')

test('a new keyring is written, read back, and makes pseudonyms', async () => {
  const file = join(folder(), 'keys.json')
  const data = createKeyring({ domains: ['default', 'vehicle'], randomBytes, now })
  await saveKeyring(file, data, randomBytes)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(await loadKeyring(file)).toEqual(data)
  const kernel = open(await loadKeyring(file)).forward('vehicle')
  expect(kernel.pseudonymize(['a'], { deterministic: true })[0]).toMatch(/^p2\.[a-z0-9]{4}\.[\w-]{39}$/)
})

test('the file is exactly what is documented', () => {
  const written = JSON.parse(writeKeyring(createKeyring({ randomBytes, now })))
  expect(written).toEqual({
    version: 2,
    domains: {
      default: {
        primary: expect.stringMatching(/^[a-z0-9]{4}$/),
        keys: [
          {
            id: written.domains.default.primary,
            aead: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
            mac: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
            created: '2026-01-31T12:00:00.000Z',
            state: 'active',
          },
        ],
      },
    },
  })
})

test('a secret of the original service becomes the primary of default', () => {
  for (const { secret, cases } of ORIGINAL) {
    const data = importOriginal(JSON.stringify({ ...secret, keyGenerationTime: 'ignored' }), { now })
    expect(parseKeyring(writeKeyring(data))).toEqual(data)
    expect(JSON.parse(writeKeyring(data)).domains.default.keys[0]).toMatchObject({ format: 'original', ...secret })
    const made = open(data)
      .forward('default')
      .pseudonymize(
        cases.map((c) => c.identifier),
        { deterministic: true },
      )
    expect(made).toEqual(cases.map((c) => c.pseudonym))
  }
})

test('a file may hold a secret of the original service as it is; a keyring that was made of it has the same key under the same id', async () => {
  const file = join(folder(), 'secret.json')
  for (const [i, { secret, cases }] of ORIGINAL.entries()) {
    const text = `${i === 0 ? '' : '\uFEFF'}${JSON.stringify({ ...secret, keyGenerationTime: 'ignored' })}`
    writeFileSync(file, text, { mode: 0o600 })
    const data = await loadKeyring(file)
    const made = open(data).forward('default')
    expect(
      made.pseudonymize(
        cases.map((c) => c.identifier),
        { deterministic: true },
      ),
    ).toEqual(cases.map((c) => c.pseudonym))
    expect(importOriginal(text, { now }).domains[0]?.primary).toBe(made.key.id)
    // Others read it as it is.
    const rotated = changeKeyring(file, (before) => rotateKeys(before, { randomBytes, now }))
    await expect(rotated).rejects.toMatchObject({
      code: 'keyring/invalid',
      message: expect.stringMatching(/keys import/),
    })
    expect(readFileSync(file, 'utf8')).toBe(text)
  }
  writeFileSync(file, JSON.stringify({ ...ORIGINAL[0]?.secret, encodedNonceKey: 'SECRET' }))
  await expect(loadKeyring(file)).rejects.toMatchObject({
    message: expect.stringMatching(/^\S+secret\.json: secret\.encodedNonceKey/),
  })
})

test('a new original secret has every start of the nonce, and no other', () => {
  const starts = new Set<number>()
  for (let i = 0; i < 600; i++) {
    const key = createKeyring({ format: 'original', randomBytes, now }).domains[0]?.keys[0]?.material
    if (key?.format === 'original') starts.add(key.nonceStrPos)
  }
  expect([...starts].sort((a, b) => a - b)).toEqual(Array.from({ length: 21 }, (_, i) => i))
})

test('key ids are unique in a keyring even where chance repeats itself', () => {
  // Each group of four bytes comes twice before it changes.
  let calls = 0
  const stuck = (count: number) => (count === 1 ? Uint8Array.of(Math.floor(calls++ / 8) % 200) : randomBytes(count))
  const { domains } = createKeyring({ domains: ['a', 'b', 'c'], randomBytes: stuck, now })
  expect(new Set(domains.map((d) => d.primary)).size).toBe(3)
})

test('an existing file is never overwritten, and no part of a key stays beside it', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  writeFileSync(file, 'precious')
  const data = createKeyring({ randomBytes, now })
  await expect(saveKeyring(file, data, randomBytes)).rejects.toMatchObject({ code: 'keyring/exists' })
  expect(readFileSync(file, 'utf8')).toBe('precious')
  expect(readdirSync(dir)).toEqual(['keys.json'])
})

test('of many writers of one file one wins, whole', async () => {
  const file = join(folder(), 'keys.json')
  const rings = Array.from({ length: 8 }, () => createKeyring({ randomBytes, now }))
  const results = await Promise.allSettled(rings.map((ring) => saveKeyring(file, ring, randomBytes)))
  const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
  expect(won).toHaveLength(1)
  expect(await loadKeyring(file)).toEqual(rings[won[0] ?? -1])
})

test.each([0o640, 0o604, 0o644, 0o620, 0o666])('a keyring of mode %o is refused', async (mode) => {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, createKeyring({ randomBytes, now }), randomBytes)
  chmodSync(file, mode)
  await expect(loadKeyring(file)).rejects.toMatchObject({ code: 'keyring/readable', context: { file } })
})

test('what is not there, or no file, is said so', async () => {
  const dir = folder()
  await expect(loadKeyring(join(dir, 'none.json'))).rejects.toMatchObject({ code: 'keyring/not-found' })
  mkdirSync(join(dir, 'd'), { mode: 0o700 })
  await expect(loadKeyring(join(dir, 'd'))).rejects.toMatchObject({ code: 'keyring/invalid' })
})

test.skipIf(process.platform === 'win32')('a pipe is no keyring, and nobody waits for what it may bring', async () => {
  const pipe = join(folder(), 'pipe')
  execFileSync('mkfifo', ['-m', '600', pipe])
  await expect(loadKeyring(pipe)).rejects.toMatchObject({ code: 'keyring/invalid' })
})

test.skipIf(process.platform !== 'linux')('a keyring in a folder that can’t be made is an error at once', async () => {
  const saved = saveKeyring('/proc/none/keys.json', createKeyring({ randomBytes, now }), randomBytes)
  await expect(saved).rejects.toMatchObject({ code: 'storage/denied' })
})

test('a byte order mark in front of a secret or a keyring is no part of it', () => {
  const made = importOriginal(`\uFEFF${JSON.stringify(ORIGINAL[0]?.secret)}`, { now })
  expect(parseKeyring(`\uFEFF${writeKeyring(made)}`)).toEqual(made)
})

const good = () => JSON.parse(writeKeyring(vectorKeyring()))

// biome-ignore lint/suspicious/noExplicitAny: each case breaks a documented file in a way its type forbids
type Broken = any
test.each<[string, (file: Broken) => unknown, RegExp]>([
  ['a newer version', (f) => ({ ...f, version: 3 }), /newer pseudolake is needed/],
  ['no version', (f) => ({ ...f, version: undefined }), /version: expected 2/],
  ['no domains', (f) => ({ ...f, domains: {} }), /one at least/],
  ['a list', () => [], /expected an object/],
  ['null', () => null, /expected an object/],
  ['a domain name in capitals', (f) => ({ ...f, domains: { SECRET: f.domains.default } }), /a name is not of/],
  ['a primary that is no key', (f) => set(f, (d) => Object.assign(d, { primary: 'SECR' })), /default\.primary/],
  ['no keys', (f) => set(f, (d) => Object.assign(d, { keys: [] })), /default\.keys/],
  ['an id of five', (f) => key(f, { id: 'SECRE' }), /keys\[0\]\.id/],
  ['a short key', (f) => key(f, { aead: 'U0VDUkVU' }), /aead: expected 32 bytes in padded base64, got 6 from 8/],
  ['a key without padding', (f) => key(f, { mac: f.domains.default.keys[0].mac.slice(0, -1) }), /mac: expected 32/],
  ['a key that is a number', (f) => key(f, { mac: 4711 }), /mac: expected 32/],
  ['one key twice', (f) => key(f, { mac: f.domains.default.keys[0].aead }), /independent/],
  ['a state of its own', (f) => key(f, { state: 'SECRET' }), /state: expected one of/],
  ['no state', (f) => key(f, { state: undefined }), /state: expected one of/],
  ['a local time', (f) => key(f, { created: '2026-01-31 12:00' }), /created/],
  ['an unknown format', (f) => key(f, { format: 'SECRET' }), /format: expected/],
  ['an id in two domains', (f) => key(f, { id: f.domains.vehicle.keys[0].id }), /twice|primary/],
  ['an original key elsewhere', (f) => move(f), /in the domain default only/],
  ['two original keys', (f) => set(f, (d) => d.keys.push({ ...d.keys.at(-1), id: 'orj2' })), /one only/],
  ['a nonce position of 21', (f) => original(f, { nonceStrPos: 21, nonceEndPos: 33 }), /0 to 20/],
  ['a nonce of 11', (f) => original(f, { nonceEndPos: 1 }), /nonceStrPos \+ 12/],
  ['a nonce key of 9', (f) => original(f, { encodedNonceKey: 'AAAAAAAAAAAA' }), /expected 8 bytes/],
])('a keyring with %s is refused, by field and without its content', async (_, broken, why) => {
  const file = join(folder(), 'keys.json')
  writeFileSync(file, JSON.stringify(broken(good())), { mode: 0o600 })
  const error = await loadKeyring(file).then(
    () => undefined,
    (e: Error) => e,
  )
  expect(error).toMatchObject({ code: 'keyring/invalid', message: expect.stringMatching(why) })
  expect(error?.message).not.toMatch(/SECR|U0VD|4711/)
})

test('a text that is no JSON is not quoted', () => {
  expect(() => parseKeyring('{"version": SECRET')).toThrow(/not JSON \(18 characters\)/)
})

test('what a key may do follows from its state, and from whether it is asked for by its id', () => {
  const ring = open(vectorKeyring(0, { '29k0': 'read-only', orig: 'retired', '660u': 'pending', '0fzg': 'retired' }))
  expect(ring.forward('default').key.id).toBe('5kl9')
  expect(ring.forward('default', '5kl9').key.id).toBe('5kl9')
  expect(ring.forward('default', '29k0').key.id).toBe('29k0')
  expect(ring.forward('vehicle', '660u').key.id).toBe('660u')
  for (const [domain, pin] of [
    ['default', 'orig'],
    ['default', 'none'],
    ['default', '660u'],
    // Its primary is pending.
    ['vehicle', undefined],
    ['vehicle', '0fzg'],
  ] as const)
    expect(() => ring.forward(domain, pin)).toThrow(expect.objectContaining({ code: 'keyring/unknown-key' }))
  expect(() => ring.forward('other')).toThrow(expect.objectContaining({ code: 'keyring/unknown-domain' }))

  const back = ring.back('default')
  expect([back.byId('5kl9')?.key.id, back.byId('29k0')?.key.id, back.original]).toEqual(['5kl9', '29k0', undefined])
  expect(back.byId('660u')).toBeUndefined()
  expect(ring.back('vehicle').byId('660u')?.key.id).toBe('660u')
  expect(ring.back('vehicle').byId('0fzg')).toBeUndefined()
  expect(() => ring.back('default', 'orig')).toThrow(expect.objectContaining({ code: 'keyring/unknown-key' }))
  expect(ring.back('default', '29k0').byId('5kl9')).toBeUndefined()
  expect(() => ring.back('other')).toThrow(expect.objectContaining({ code: 'keyring/unknown-domain' }))
})

test('a domain may have any name of the documented form', async () => {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, createKeyring({ domains: ['__proto__', 'constructor', '-'], randomBytes, now }), randomBytes)
  const ring = open(await loadKeyring(file))
  expect(ring.domains.map((d) => d.domain)).toEqual(['__proto__', 'constructor', '-'])
  expect(ring.forward('__proto__').key.domain).toBe('__proto__')
  expect(() => ring.forward('toString')).toThrow(/no such domain/)
})

test.each([[['A']], [['']], [['a', 'a']], [['a'.repeat(65)]], [[]]])('domains %j can’t be made', (domains) => {
  expect(() => createKeyring({ domains, randomBytes, now })).toThrow(
    expect.objectContaining({ code: 'options/invalid' }),
  )
})

test('an original key is made in default only', () => {
  expect(() => createKeyring({ format: 'original', domains: ['vehicle'], randomBytes, now })).toThrow(/default only/)
})

test('wiping leaves no key byte in the data, and an open keyring works on', () => {
  const data = vectorKeyring()
  const ring = open(data)
  wipe(data)
  expect(bytesOf(data).every((bytes) => bytes.every((byte) => byte === 0))).toBe(true)
  expect(ring.forward('default').pseudonymize(['A'], { deterministic: true })).toEqual([
    'p2.5kl9.h3QFzpX3ZOnH1GrsezcGrrKQ6pBvslnkQ5Gfq3g',
  ])
  ring.dispose()
  expect(() => ring.forward('default').pseudonymize(['A'], { deterministic: true })).toThrow(/wiped/)
})

function bytesOf(data: KeyringData): Uint8Array[] {
  return data.domains.flatMap(({ keys }) =>
    keys.flatMap(({ material: m }) => (m.format === 'v2' ? [m.aead, m.mac] : [m.secretKey, m.nonceKey])),
  )
}

function set(file: Broken, change: (domain: Broken) => void): Broken {
  change(file.domains.default)
  return file
}

function key(file: Broken, fields: object): Broken {
  return set(file, (domain) => Object.assign(domain.keys[0], fields))
}

function original(file: Broken, fields: object): Broken {
  return set(file, (domain) => Object.assign(domain.keys.at(-1), fields))
}

function move(file: Broken): Broken {
  file.domains.vehicle.keys.push(file.domains.default.keys.pop())
  return file
}
