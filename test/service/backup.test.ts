import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openKeyring, summaryOf } from '../../lib/crypto/keyring.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { backUp, openBackup } from '../../service/keys/backup.ts'
import { loadKeyring } from '../../service/keys/file.ts'
import { parseKeyring, writeKeyring } from '../../service/keys/format.ts'
import { command } from '../core/failing.ts'
import { awsError, type Behave, fakeAws } from '../helpers/aws.ts'
import { pseudolake } from '../helpers/cli.ts'
import { folder, vectorKeyring } from './keyrings.ts'

const now = Date.parse('2026-01-31T12:00:00Z')
const text = writeKeyring(vectorKeyring())
const noKms = () => {
  throw new Error('KMS was asked')
}
const open = (backup: string, shares: readonly string[], identities: readonly string[] = []) => {
  const named = (what: string, texts: readonly string[]) =>
    texts.map((each, i) => ({ name: `${what} ${i + 1}`, text: each }))
  return openBackup(backup, { shares: named('share', shares), identities: named('identity', identities) }, noKms)
}
const refused = async (opening: Promise<unknown>, code: string, says: RegExp) => {
  const error = await opening.then(
    () => expect.unreachable('it was opened'),
    (e: Error) => e,
  )
  expect(error).toMatchObject({ code, message: expect.stringMatching(says) })
  return error
}

/** All ways to choose `m` of the numbers below `n`. */
function choices(n: number, m: number): number[][] {
  if (m === 0) return [[]]
  return Array.from({ length: n }, (_, first) => first).flatMap((first) =>
    choices(n - first - 1, m - 1).map((rest) => [first, ...rest.map((i) => i + first + 1)]),
  )
}

test.each([
  [2, 2],
  [2, 3],
  [3, 5],
  [5, 5],
])('any %i of %i shares open a backup, in any order, and fewer do not', async (threshold, of) => {
  const { backup, shares } = await backUp(text, { threshold, of }, { randomBytes, now })
  expect(shares).toHaveLength(of)
  for (const chosen of choices(of, threshold)) {
    const some = chosen.map((i) => shares[i] as string)
    expect(await open(backup, some)).toBe(text)
    expect(await open(backup, some.toReversed())).toBe(text)
  }
  expect(await open(backup, shares)).toBe(text)
  for (const chosen of choices(of, threshold - 1))
    await refused(
      open(
        backup,
        chosen.map((i) => shares[i] as string),
      ),
      'keyring/shares',
      new RegExp(`^${threshold} shares of ${of} are needed`),
    )
  // One share twice is one.
  await refused(open(backup, Array(threshold).fill(shares[0])), 'keyring/shares', /are needed/)
})

test('shares are points of one polynomial over GF(2^8): an arithmetic of our own finds the same key', async () => {
  const { backup, shares } = await backUp(text, { threshold: 3, of: 5 }, { randomBytes, now })
  /** By shifts and reductions, as FIPS 197 §4.2 has it; no tables. */
  const times = (a: number, b: number): number => {
    let product = 0
    for (let x = a, y = b; y > 0; y >>= 1, x = (x << 1) ^ (x & 0x80 ? 0x11b : 0)) if (y & 1) product ^= x
    return product
  }
  const inverse = (a: number) => Array.from({ length: 254 }).reduce<number>((power) => times(power, a), 1)
  /** The point is the share's last byte, the values are those before it. */
  const points = shares.map((share) => Buffer.from(JSON.parse(share).share, 'base64'))
  const at0 = (chosen: readonly Buffer[]) =>
    Buffer.from(
      Array.from({ length: 32 }, (_, byte) =>
        chosen.reduce((sum, point) => {
          const x = point[32] as number
          const others = chosen.filter((other) => other !== point).map((other) => other[32] as number)
          const basis = others.reduce((product, other) => times(product, times(other, inverse(other ^ x))), 1)
          return sum ^ times(point[byte] as number, basis)
        }, 0),
      ),
    )
  const keys = choices(5, 3).map((chosen) => at0(chosen.map((i) => points[i] as Buffer)).toString('hex'))
  expect(new Set(keys).size).toBe(1)
  expect(at0(points.slice(0, 2)).toString('hex')).not.toBe(keys[0])
  expect(backup).not.toContain(Buffer.from(keys[0] as string, 'hex').toString('base64'))
})

test('two backups of one keyring have nothing in common, and shares of one are of no use for the other', async () => {
  const [one, other] = await Promise.all([1, 2].map(() => backUp(text, { threshold: 2, of: 3 }, { randomBytes, now })))
  if (!one || !other) throw new Error('two are needed')
  expect(JSON.parse(one.backup).text).not.toBe(JSON.parse(other.backup).text)
  const mixed = [one.shares[0], other.shares[1]] as string[]
  await refused(open(one.backup, mixed), 'keyring/shares', /^share 2 is a share of another backup/)
})

test('neither a backup nor a share has anything of a key in it', async () => {
  const { backup, shares } = await backUp(text, { threshold: 2, of: 3 }, { randomBytes, now })
  const secrets = [...text.matchAll(/"(?:aead|mac|encoded\w+)": "(.+)"/g)].map(([, secret]) => secret as string)
  expect(secrets.length).toBeGreaterThan(5)
  for (const secret of secrets)
    for (const written of [backup, ...shares]) {
      expect(written).not.toContain(secret)
      expect(Buffer.from(JSON.parse(written).text ?? '', 'base64').includes(Buffer.from(secret, 'base64'))).toBe(false)
    }
})

test('whatever is changed in a backup, it does not open', async () => {
  const { backup, shares } = await backUp(text, { threshold: 2, of: 3 }, { randomBytes, now })
  const with_ = (change: (document: Record<string, unknown>) => void) => {
    const document = JSON.parse(backup)
    change(document)
    return open(JSON.stringify(document), shares)
  }
  // The order of fields is not part of it.
  expect(
    await with_((d) =>
      Object.assign(d, { wrapped: Object.fromEntries(Object.entries(d.wrapped as object).reverse()) }),
    ),
  ).toBe(text)
  const bytes = Buffer.from(JSON.parse(backup).text, 'base64')
  for (const place of [0, 12, bytes.length >> 1, bytes.length - 1]) {
    const flipped = Buffer.from(bytes)
    flipped[place] = (flipped[place] as number) ^ 1
    await refused(
      with_((d) => Object.assign(d, { text: flipped.toString('base64') })),
      'keyring/invalid',
      /changed/,
    )
  }
  await refused(
    with_((d) => Object.assign(d, { sealed: '2026-02-01T00:00:00.000Z' })),
    'keyring/invalid',
    /changed/,
  )
  await refused(
    with_((d) => Object.assign(d.wrapped as object, { more: 1 })),
    'keyring/invalid',
    /changed/,
  )
  await refused(
    with_((d) => Object.assign(d, { text: 'AAAA' })),
    'keyring/invalid',
    /3 bytes/,
  )
  await refused(
    with_((d) => Object.assign(d, { version: 2 })),
    'keyring/invalid',
    /newer pseudolake/,
  )
  await refused(
    with_((d) => Object.assign(d, { kind: 'other' })),
    'keyring/invalid',
    /no backup/,
  )
  await refused(
    with_((d) => Object.assign(d.wrapped as object, { shares: [] })),
    'keyring/invalid',
    /not whole/,
  )
  await refused(open('{', shares), 'keyring/invalid', /no backup/)
})

test.each<[string, (share: string) => string, RegExp]>([
  [
    'a byte is another',
    (s) => edited(s, (d) => ({ ...d, share: flipped(d.share) })),
    /share 1 was changed, or mistyped/,
  ],
  ['its number is another', (s) => edited(s, (d) => ({ ...d, n: 2 })), /share 1 was changed, or mistyped/],
  ['its number is none', (s) => edited(s, (d) => ({ ...d, n: 9 })), /share 1 was changed, or mistyped/],
  ['its share is a number', (s) => edited(s, (d) => ({ ...d, share: 7 })), /share 1 was changed, or mistyped/],
  ['it is newer', (s) => edited(s, (d) => ({ ...d, version: 2 })), /newer/],
  ['it is something else', () => '{"api_key_value": "SECRET-7f3a"}', /share 1 is no share/],
  ['it is no JSON', () => 'SECRET-7f3a', /share 1 is no share \(11 characters\)/],
  ['it is null', () => 'null', /share 1 is no share/],
])('a share of which %s is named, and nothing of it is told', async (_, change, says) => {
  const { backup, shares } = await backUp(text, { threshold: 2, of: 3 }, { randomBytes, now })
  const error = await refused(open(backup, [change(shares[0] as string), shares[1] as string]), 'keyring/shares', says)
  expect(JSON.stringify(error)).not.toMatch(/SECRET/)
})

function edited(share: string, change: (document: { share: string } & object) => object): string {
  return JSON.stringify(change(JSON.parse(share)))
}

function flipped(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes[0] = (bytes[0] as number) ^ 1
  return bytes.toString('base64')
}

/** An X25519 key pair as users make one. */
function recipient(): { key: string; pem: string } {
  const pem = execFileSync('openssl', ['genpkey', '-algorithm', 'X25519'])
  const der = execFileSync('openssl', ['pkey', '-pubout', '-outform', 'DER'], { input: pem })
  return { key: der.subarray(-32).toString('base64'), pem: pem.toString() }
}

test('shares may be sealed for recipients, who need no file then; a stranger’s key opens none', async () => {
  const people = [recipient(), recipient(), recipient()]
  const recipients = people.map(({ key }) => key)
  const { backup, shares } = await backUp(text, { threshold: 2, of: 3, recipients }, { randomBytes, now })
  expect(shares).toEqual([])
  const [a, b, c] = people.map(({ pem }) => pem) as [string, string, string]
  expect(await open(backup, [], [a, c])).toBe(text)
  expect(await open(backup, [], [c, b, a])).toBe(text)
  await refused(open(backup, [], [b]), 'keyring/shares', /2 shares of 3 are needed, and there is 1/)
  await refused(open(backup, [], [a, recipient().pem]), 'keyring/shares', /no share is sealed for identity 2/)
  await refused(open(backup, [], ['SECRET']), 'keyring/shares', /identity 1 is no private key in PEM/)
  const ed25519 = execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519']).toString()
  await refused(open(backup, [], [ed25519]), 'keyring/shares', /identity 1 is no key of X25519/)
  const moved = JSON.parse(backup)
  const [first, second] = moved.wrapped.shares
  Object.assign(first, { sealed: second.sealed, ephemeral: second.ephemeral })
  await refused(open(JSON.stringify(moved), [], [a, b]), 'keyring/shares', /sealed for identity 1 was changed/)
})

test('one recipient alone may open a backup where that is asked for', async () => {
  const [a, b] = [recipient(), recipient()]
  const sharing = { threshold: 1, of: 2, recipients: [a.key, b.key] }
  const { backup } = await backUp(text, sharing, { randomBytes, now })
  expect(await open(backup, [], [b.pem])).toBe(text)
})

const KEY = Buffer.alloc(32, 1).toString('base64')
test.each<[string, { threshold: number; of: number; recipients?: string[] }]>([
  ['a share that opens it alone', { threshold: 1, of: 3 }],
  ['more than there are', { threshold: 4, of: 3 }],
  ['none', { threshold: 0, of: 0 }],
  ['parts of one', { threshold: 1.5, of: 3 }],
  ['more than there can be', { threshold: 2, of: 256 }],
  ['too few recipients', { threshold: 2, of: 3, recipients: [KEY] }],
  ['one recipient twice', { threshold: 2, of: 2, recipients: [KEY, KEY] }],
  ['a recipient that is none', { threshold: 2, of: 2, recipients: [KEY, 'AAAA'] }],
])('a backup with %s is not made', async (_, sharing) => {
  await expect(backUp(text, sharing, { randomBytes, now })).rejects.toMatchObject({ code: 'options/invalid' })
})

test('the drill: keys are lost, two of three holders come, and every pseudonym is as it was', async () => {
  const lost = folder()
  writeFileSync(join(lost, 'keys.json'), text, { mode: 0o600 })
  const values = Array.from({ length: 200 }, (_, i) => `vin-${i}`)
  const work = async (file: string) => {
    const ring = openKeyring(await loadKeyring(file), wasmKernel, { randomBytes })
    return ring.domains.flatMap(({ domain, keys }) =>
      keys.map(({ id }) => ring.forward(domain, id).pseudonymize(values, { deterministic: true })),
    )
  }
  const before = await work(join(lost, 'keys.json'))
  const made = await pseudolake(
    ['keys', 'backup', 'keys.json', '--out', 'keys.backup', '--shares', '2-of-3', '--json'],
    { cwd: lost },
  )
  expect(made.code, made.stderr).toBe(0)
  const { shares } = JSON.parse(made.stdout)
  expect(shares).toEqual([1, 2, 3].map((n) => `keys.backup.share-${n}`))
  for (const name of ['keys.backup', ...shares]) expect(statSync(join(lost, name)).mode & 0o777).toBe(0o600)

  // Into an empty place comes what the holders have, and nothing else.
  const found = folder()
  for (const name of ['keys.backup', 'keys.backup.share-1', 'keys.backup.share-3'])
    renameSync(join(lost, name), join(found, name))
  rmSync(lost, { recursive: true })
  const holders = ['--share', 'keys.backup.share-3', '--share', 'keys.backup.share-1']
  const checked = await pseudolake(['keys', 'restore', 'keys.backup', ...holders, '--check', '--json'], { cwd: found })
  expect(JSON.parse(checked.stdout)).toEqual({ backup: 'keys.backup', domains: summaryOf(vectorKeyring()) })
  expect(readdirSync(found)).toHaveLength(3)
  const restored = await pseudolake(
    ['keys', 'restore', 'keys.backup', ...holders, '--out', 'back/keys.json', '--json'],
    { cwd: found },
  )
  expect(restored.code, restored.stderr).toBe(0)
  const file = join(found, 'back', 'keys.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(await work(file)).toEqual(before)

  const said = [made, checked, restored].map(({ stdout, stderr }) => stdout + stderr).join()
  const secrets = [...text.matchAll(/"(?:aead|mac|encoded\w+)": "(.+)"/g)].map(([, secret]) => secret as string)
  const parts = ['keys.backup.share-1', 'keys.backup.share-3'].map(
    (name) => JSON.parse(readFileSync(join(found, name), 'utf8')).share,
  )
  for (const secret of [...secrets, ...parts]) expect(said).not.toContain(secret)
}, 30_000)

test('nothing is written over, and what was begun is taken back', async () => {
  const dir = folder()
  writeFileSync(join(dir, 'keys.json'), text, { mode: 0o600 })
  writeFileSync(join(dir, 'b.share-2'), 'precious')
  const run = (...words: string[]) => command([...words, '--json'], dir, {})
  expect(await run('keys', 'backup', 'keys.json', '--out', 'b', '--shares', '2-of-3')).toMatchObject({ exit: 2 })
  expect(readdirSync(dir).sort()).toEqual(['b.share-2', 'keys.json'])
  expect(readFileSync(join(dir, 'b.share-2'), 'utf8')).toBe('precious')
  expect(await run('keys', 'backup', 'keys.json', '--out', 'c', '--shares', '2-of-2')).toMatchObject({ exit: 0 })
  const shares = ['--share', 'c.share-1', '--share', 'c.share-2']
  const over = await run('keys', 'restore', 'c', ...shares, '--out', 'keys.json')
  expect(JSON.parse(over.stdout).error.code).toBe('keyring/exists')
  expect(readFileSync(join(dir, 'keys.json'), 'utf8')).toBe(text)
})

test.skipIf(process.platform === 'win32')(
  'a share that others can read is refused; the backup itself is no secret',
  async () => {
    const dir = folder()
    writeFileSync(join(dir, 'keys.json'), text, { mode: 0o600 })
    const run = (...words: string[]) => command([...words, '--json'], dir, {})
    await run('keys', 'backup', 'keys.json', '--out', 'b', '--shares', '2-of-2')
    chmodSync(join(dir, 'b'), 0o644)
    const shares = ['--share', 'b.share-1', '--share', 'b.share-2']
    expect(await run('keys', 'restore', 'b', ...shares, '--check')).toMatchObject({ exit: 0 })
    chmodSync(join(dir, 'b.share-2'), 0o640)
    const refused = await run('keys', 'restore', 'b', ...shares, '--check')
    expect(JSON.parse(refused.stdout).error.code).toBe('keyring/readable')
  },
)

test.each([
  [['keys', 'backup', 'keys.json', '--out', 'b']],
  [['keys', 'backup', 'keys.json', '--out', 'b', '--shares', '2-of-3', '--kms-key', 'k']],
  [['keys', 'backup', 'keys.json', '--out', 'b', '--shares', '2/3']],
  [['keys', 'backup', 'keys.json', '--out', 'b', '--shares', '1-of-3']],
  [['keys', 'backup', 'keys.json', '--out', 'b', '--kms-key', 'k', '--recipient', KEY]],
  [['keys', 'restore', 'keys.json']],
  [['keys', 'restore', 'keys.json', '--out', 'k', '--check']],
])('%j is refused before anything is read or written', async (words) => {
  const dir = folder()
  mkdirSync(join(dir, 'empty'))
  const { exit, stdout } = await command([...words, '--json'], dir, {})
  expect([exit, JSON.parse(stdout).error.code]).toEqual([2, 'options/invalid'])
  expect(existsSync(join(dir, 'b'))).toBe(false)
})

test('KMS can have the key of a backup, and what it seals is opened by it and by nobody else', async () => {
  const ARN = 'arn:aws:kms:eu-central-1:123456789012:key/0123'
  const dataKey = randomBytes(32)
  const regions: string[] = []
  const behave: Behave = ({ service, region, operation }) => {
    if (service !== 'kms') return undefined
    regions.push(`${operation} ${region}`)
    return { body: { Plaintext: dataKey.toString('base64'), CiphertextBlob: 'd3JhcHBlZA==', KeyId: ARN } }
  }
  const dir = folder()
  writeFileSync(join(dir, 'keys.json'), text, { mode: 0o600 })
  const aws = await fakeAws(behave)
  const run = (env: Record<string, string>, ...words: string[]) => command([...words, '--json'], dir, env)
  const made = await run(aws.env, 'keys', 'backup', 'keys.json', '--out', 'k', '--kms-key', 'alias/keys')
  expect(made).toMatchObject({ exit: 0 })
  expect(await run(aws.env, 'keys', 'restore', 'k', '--out', 'back.json')).toMatchObject({ exit: 0 })
  expect(parseKeyring(readFileSync(join(dir, 'back.json'), 'utf8'))).toEqual(parseKeyring(text))
  // Where the key is, its ARN says.
  expect(regions).toEqual(['GenerateDataKey eu-west-1', 'Decrypt eu-central-1'])
  const denying = await fakeAws(() => awsError('AccessDeniedException'))
  const denied = await run(denying.env, 'keys', 'restore', 'k', '--check')
  expect(JSON.parse(denied.stdout).error).toMatchObject({
    code: 'secret/denied',
    message: expect.stringMatching(/kms:Decrypt/),
  })
})
