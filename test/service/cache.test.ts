/** What the service remembers of its callers, as it runs: of each by itself, and not for longer than it may. */
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createKeyring } from '../../service/keys/create.ts'
import { changeKeyring, saveKeyring } from '../../service/keys/file.ts'
import { retireKey, rotateKeys } from '../../service/keys/states.ts'
import { type StartOptions, startService } from '../../service/start.ts'
import { watchMemories } from '../crypto/cache/memories.ts'
import { folder } from './keyrings.ts'

const CALLERS = ['alice', 'bob']

async function running(more: Partial<StartOptions> = {}) {
  const memory = watchMemories()
  const keyring = join(folder(), 'keys.json')
  await saveKeyring(keyring, createKeyring({ randomBytes, now: Date.now() }), randomBytes)
  const apiKeys = `${keyring}.callers.json`
  const callers = CALLERS.map((name) => ({
    name,
    key_sha256: createHash('sha256').update(`key of ${name}`).digest('hex'),
    permissions: ['pseudonymize', 'reidentify'],
  }))
  writeFileSync(apiKeys, JSON.stringify(callers))
  const service = await startService({ keyring, auth: { apiKeys }, threads: 1, ...more })
  onTestFinished(() => service.close())
  async function ask(caller: string, path: string, values: readonly string[]) {
    const field = path.startsWith('/pseudo') ? 'identifiers' : 'pseudonyms'
    const headers = { 'x-api-key': `key of ${caller}`, 'content-type': 'application/json' }
    const response = await fetch(service.url + path, {
      method: 'POST',
      headers,
      body: JSON.stringify({ [field]: values }),
    })
    expect(response.status).toBe(200)
    return Object.values(await response.json())[0] as string[]
  }
  return { keyring, service, memory, ask }
}

const DETERMINISTIC = '/pseudonymization?deterministic=True'
const VALUES = Array.from({ length: 50 }, (_, i) => `planted-value-${i}-`)
const A_VALUE = 'planted-value-7-'

test('what a caller asks twice is kept once, of each caller by itself and of each direction; answers stay what they are', async () => {
  const { ask, memory } = await running()
  const made = await ask('alice', DETERMINISTIC, VALUES)
  expect(memory.holds(A_VALUE)).toBe(1)
  expect(await ask('alice', DETERMINISTIC, VALUES)).toEqual(made)
  expect(memory.holds(A_VALUE)).toBe(1)
  expect(await ask('bob', DETERMINISTIC, VALUES)).toEqual(made)
  expect(memory.holds(A_VALUE)).toBe(2)
  for (let i = 0; i < 2; i++) expect(await ask('bob', '/reidentification', made)).toEqual(VALUES)
  expect(memory.holds(A_VALUE)).toBe(3)
})

test('random pseudonyms are others each time, and nothing of them is kept', async () => {
  const { ask, memory } = await running()
  const [one, other] = [
    await ask('alice', '/pseudonymization', VALUES),
    await ask('alice', '/pseudonymization', VALUES),
  ]
  expect(new Set([...one, ...other]).size).toBe(100)
  expect(memory.holds('planted')).toBe(0)
})

test('nothing is kept where the cache is switched off', async () => {
  const { ask, memory } = await running({ cacheBytes: 0 })
  const made = await ask('alice', DETERMINISTIC, VALUES)
  await ask('alice', '/reidentification', made)
  expect(memory.holds('planted')).toBe(0)
  await expect(running({ cacheBytes: 1_000 })).rejects.toMatchObject({ code: 'options/invalid' })
})

test('it is gone when it is told to forget, when another keyring is taken over, and when it ends', async () => {
  const { ask, memory, service, keyring } = await running()
  const made = await ask('alice', DETERMINISTIC, VALUES)
  expect(memory.holds(A_VALUE)).toBe(1)
  service.forget()
  expect(memory.holds('planted')).toBe(0)

  await ask('alice', DETERMINISTIC, VALUES)
  expect(memory.holds(A_VALUE)).toBe(1)
  const old = made[0]?.slice(3, 7) as string
  await changeKeyring(keyring, (data) => rotateKeys(data, { randomBytes, now: Date.now() }))
  expect(await service.reload()).toBe('replaced')
  expect(memory.holds('planted')).toBe(0)
  const anew = await ask('alice', DETERMINISTIC, VALUES)
  expect(anew[0]).not.toBe(made[0])
  expect(await ask('alice', `${DETERMINISTIC}&key=${old}`, VALUES)).toEqual(made)
  expect(memory.holds(A_VALUE)).toBe(2)
  await changeKeyring(keyring, (data) => retireKey(data, old))
  expect(await service.reload()).toBe('replaced')
  expect(memory.holds('planted')).toBe(0)

  await ask('alice', DETERMINISTIC, VALUES)
  await service.close()
  expect(memory.holds('planted')).toBe(0)
})
