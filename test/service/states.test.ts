import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type KeyringData, type KeyState, summaryOf } from '../../lib/crypto/keyring.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { changeKeyring, loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { activateKey, addDomains, retireKey, rotateKeys, unretireKey } from '../../service/keys/states.ts'
import { command } from '../core/failing.ts'
import { folder, open, vectorKeyring } from './keyrings.ts'

const now = Date.parse('2026-01-31T12:00:00Z')
const fresh = (...domains: string[]) => createKeyring({ domains, randomBytes, now })
const idOf = (data: KeyringData, state: KeyState, domain = 0) =>
  data.domains[domain]?.keys.find((key) => key.state === state)?.material.id as string
const states = (data: KeyringData) => data.domains.map(({ keys }) => keys.map(({ state }) => state))

test('a rotation makes a new primary; the key before goes back, and on where it is asked for', () => {
  const before = fresh('default')
  const old = idOf(before, 'active')
  const made = open(before).forward('default').pseudonymize(['A'], { deterministic: true })
  const after = rotateKeys(before, { randomBytes, now: now + 1000 })
  expect(states(after)).toEqual([['read-only', 'active']])
  const ring = open(after)
  expect(after.domains[0]?.primary).toBe(ring.forward('default').key.id)
  expect(ring.forward('default').key.id).not.toBe(old)
  expect(ring.forward('default').pseudonymize(['A'], { deterministic: true })).not.toEqual(made)
  expect(ring.forward('default', old).pseudonymize(['A'], { deterministic: true })).toEqual(made)
  expect(ring.back('default').byId(old)?.reidentify(made)).toEqual(['A'])
  expect(after.domains[0]?.keys[1]?.created).toBe('2026-01-31T12:00:01.000Z')
})

test('a key that is pending makes nothing for who does not ask for it, and goes back', () => {
  const before = fresh('default')
  const after = rotateKeys(before, { pending: true, randomBytes, now })
  expect(states(after)).toEqual([['active', 'pending']])
  expect(after.domains[0]?.primary).toBe(before.domains[0]?.primary)
  const pending = idOf(after, 'pending')
  const ahead = open(activateKey(after, pending)).forward('default').pseudonymize(['A'], { deterministic: true })
  expect(open(after).back('default').byId(pending)?.reidentify(ahead)).toEqual(['A'])
})

test('a rotation is about the domains that are named, and of several one must be', () => {
  const before = fresh('a', 'b')
  const rotate = (domains?: string[]) => rotateKeys(before, { ...(domains && { domains }), randomBytes, now })
  expect(states(rotate(['b']))).toEqual([['active'], ['read-only', 'active']])
  expect(states(rotate(['b', 'a']))).toEqual([
    ['read-only', 'active'],
    ['read-only', 'active'],
  ])
  expect(() => rotate()).toThrow(
    expect.objectContaining({ code: 'options/invalid', message: expect.stringMatching(/a, b/) }),
  )
  expect(() => rotate(['c'])).toThrow(expect.objectContaining({ code: 'keyring/unknown-domain' }))
})

test('a key of the original format gives way to one of v2, and its pseudonyms still go back', () => {
  const before = createKeyring({ format: 'original', randomBytes, now })
  const made = open(before).forward('default').pseudonymize(['A'], { deterministic: true })
  const ring = open(rotateKeys(before, { randomBytes, now }))
  expect(ring.forward('default').key.format).toBe('v2')
  expect(ring.back('default').original?.reidentify(made)).toEqual(['A'])
})

test('activating leads back from a rotation too, and changes nothing where the key is the primary', () => {
  const before = fresh('default')
  const old = idOf(before, 'active')
  const back = activateKey(rotateKeys(before, { randomBytes, now }), old)
  expect(states(back)).toEqual([['active', 'read-only']])
  expect(back.domains[0]?.primary).toBe(old)
  expect(activateKey(back, old)).toEqual(back)
})

test('what is retired does nothing, even by its id, and stays in the file', () => {
  const rotated = rotateKeys(fresh('default'), { randomBytes, now })
  const old = idOf(rotated, 'read-only')
  const after = retireKey(rotated, old)
  expect(states(after)).toEqual([['retired', 'active']])
  const ring = open(after)
  expect(() => ring.forward('default', old)).toThrow(expect.objectContaining({ code: 'keyring/unknown-key' }))
  expect(ring.back('default').byId(old)).toBeUndefined()
  expect(retireKey(after, old)).toEqual(after)
  expect(unretireKey(after, old)).toEqual(rotated)
})

test('no step leaves a domain without a key that makes pseudonyms, and none is taken that the states do not allow', () => {
  const rotated = rotateKeys(fresh('default'), { randomBytes, now })
  const refused = (change: () => unknown, code = 'keyring/state') =>
    expect(change).toThrow(expect.objectContaining({ code }))
  refused(() => retireKey(rotated, idOf(rotated, 'active')))
  refused(() => unretireKey(rotated, idOf(rotated, 'read-only')))
  refused(() => activateKey(retireKey(rotated, idOf(rotated, 'read-only')), idOf(rotated, 'read-only')))
  for (const change of [activateKey, retireKey, unretireKey])
    refused(() => change(rotated, 'zzzz'), 'keyring/unknown-key')
})

test('whatever is done to a keyring, each domain has one active key, its primary, and no key is lost', () => {
  const step = fc.tuple(fc.constantFrom('rotate', 'pending', 'activate', 'retire', 'undo'), fc.nat(), fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      let data = fresh('a', 'b')
      for (const [what, which, where] of steps) {
        const all = data.domains.flatMap(({ keys }) => keys.map(({ material }) => material.id))
        const id = all[which % all.length] as string
        const domains = [where % 2 === 0 ? 'a' : 'b']
        try {
          if (what === 'rotate' || what === 'pending')
            data = rotateKeys(data, { domains, pending: what === 'pending', randomBytes, now })
          else data = { activate: activateKey, retire: retireKey, undo: unretireKey }[what](data, id)
        } catch (error) {
          expect(error).toMatchObject({ code: 'keyring/state' })
        }
        const left = data.domains.flatMap(({ keys }) => keys.map(({ material }) => material.id))
        expect(left).toEqual(expect.arrayContaining(all))
        expect(new Set(left).size).toBe(left.length)
        for (const { primary, keys } of data.domains)
          expect(keys.filter(({ state }) => state === 'active').map(({ material }) => material.id)).toEqual([primary])
      }
    }),
    { numRuns: 60 },
  )
})

test('domains are added, and never over one that is there', () => {
  const data = addDomains(fresh('a'), fresh('b'))
  expect(summaryOf(data).map(({ domain }) => domain)).toEqual(['a', 'b'])
  expect(() => addDomains(data, fresh('b'))).toThrow(expect.objectContaining({ code: 'keyring/state' }))
})

test('a changed file is whole, private, and the only one there is', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  const changed = await changeKeyring(file, (data) => rotateKeys(data, { randomBytes, now }))
  expect(await loadKeyring(file)).toEqual(changed)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(dir)).toEqual(['keys.json'])
})

test('of changes at the same time none loses the key of another', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  const tries = await Promise.allSettled(
    Array.from({ length: 8 }, () => changeKeyring(file, (data) => rotateKeys(data, { randomBytes, now }))),
  )
  const done = tries.filter(({ status }) => status === 'fulfilled').length
  for (const each of tries)
    if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'keyring/busy', context: { file } })
  expect(done).toBeGreaterThan(0)
  expect((await loadKeyring(file)).domains[0]?.keys).toHaveLength(1 + done)
  expect(readdirSync(dir)).toEqual(['keys.json'])
})

test('a change that is refused leaves the file as it was, and nothing beside it', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  const before = readFileSync(file)
  await expect(changeKeyring(file, (data) => retireKey(data, 'zzzz'))).rejects.toMatchObject({
    code: 'keyring/unknown-key',
  })
  expect(readFileSync(file)).toEqual(before)
  expect(readdirSync(dir)).toEqual(['keys.json'])
})

test.skipIf(process.platform === 'win32')('a keyring that others can read is not changed', async () => {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  chmodSync(file, 0o640)
  const rotated = changeKeyring(file, (data) => rotateKeys(data, { randomBytes, now }))
  await expect(rotated).rejects.toMatchObject({ code: 'keyring/readable' })
  expect(existsSync(`${file}.next`)).toBe(false)
})

test.skipIf(process.platform === 'win32')('where the path is a link, what it leads to is changed', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  const link = join(dir, 'current.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  symlinkSync(file, link)
  await changeKeyring(link, (data) => rotateKeys(data, { randomBytes, now }))
  expect(lstatSync(link).isSymbolicLink()).toBe(true)
  expect(realpathSync(link)).toBe(realpathSync(file))
  expect((await loadKeyring(file)).domains[0]?.keys).toHaveLength(2)
})

test.skipIf(process.getuid?.() !== 0)('an administrator’s change leaves the keyring to whom it belongs', async () => {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  await promisify(execFile)('chown', ['12345:12345', file])
  await changeKeyring(file, (data) => rotateKeys(data, { randomBytes, now }))
  expect([statSync(file).uid, statSync(file).gid, statSync(file).mode & 0o777]).toEqual([12345, 12345, 0o600])
})

test('the command line takes a key through its life, and shows no byte of it', async () => {
  const dir = folder()
  const file = join(dir, 'keys.json')
  writeFileSync(file, writeKeyring(vectorKeyring()), { mode: 0o600 })
  const said: string[] = []
  const run = async (...words: string[]) => {
    const { exit, stdout, stderr } = await command([...words, '--json'], dir, {})
    said.push(stdout, stderr)
    return { exit, ...JSON.parse(stdout) }
  }
  const rotated = await run('keys', 'rotate', 'keys.json', '--domain', 'vehicle', '--pending')
  expect(rotated).toMatchObject({ exit: 0, keyring: 'keys.json' })
  const vehicle = ({ domains }: typeof rotated) =>
    domains.find(({ domain }: { domain: string }) => domain === 'vehicle') as {
      primary: string
      keys: { id: string; state: KeyState }[]
    }
  const before = vehicle(rotated).primary
  const pending = vehicle(rotated).keys.find(({ state }) => state === 'pending')?.id as string
  expect(vehicle(await run('keys', 'activate', 'keys.json', pending)).primary).toBe(pending)
  const stateOf = async (...words: string[]) => vehicle(await run(...words)).keys.find(({ id }) => id === before)?.state
  expect(await stateOf('keys', 'show', 'keys.json')).toBe('read-only')
  expect(await stateOf('keys', 'retire', 'keys.json', before)).toBe('retired')
  expect(await stateOf('keys', 'retire', 'keys.json', before, '--undo')).toBe('read-only')
  const added = await run('keys', 'add', 'keys.json', '--domain', 'patient')
  expect(added.domains.at(-1)).toMatchObject({ domain: 'patient', keys: [{ format: 'v2', state: 'active' }] })
  expect(await run('keys', 'activate', 'keys.json', 'NOID')).toMatchObject({
    exit: 2,
    error: { code: 'options/invalid' },
  })

  const secrets = [...readFileSync(file, 'utf8').matchAll(/"(?:aead|mac|encoded\w+)": "(.+)"/g)].map(([, text]) => text)
  expect(secrets.length).toBeGreaterThan(8)
  for (const secret of secrets) expect(said.join().includes(secret as string)).toBe(false)
})
