import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createKeyring } from '../../../service/keys/create.ts'
import { saveKeyring } from '../../../service/keys/file.ts'
import { startService } from '../../../service/start.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { folder } from '../keyrings.ts'

/** A folder with the record of a service that was asked both ways. */
async function asked() {
  const cwd = folder()
  const keyring = join(cwd, 'keys.json')
  await saveKeyring(keyring, createKeyring({ randomBytes, now: 0 }), randomBytes)
  const { url, close } = await startService({ keyring, auth: { insecureNoAuth: true } })
  const post = async (path: string, body: object, more: Record<string, string> = {}) => {
    const headers = { 'content-type': 'application/json', ...more }
    const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body), headers })
    expect(response.status).toBe(200)
    return response.json()
  }
  const { pseudonyms } = await post('/pseudonymization', { identifiers: ['PLANTED-1', 'PLANTED-2'] })
  await post('/reidentification', { pseudonyms }, { 'x-pseudolake-purpose': 'recall,"now"' })
  await post('/reidentification', { pseudonyms }, { 'x-pseudolake-purpose': 'recall' })
  await close()
  return { cwd, cli: (...args: string[]) => pseudolake(args, { cwd }) }
}

test('audit verify finds a stopped service’s record whole and anchored, and says what was changed', async () => {
  const { cwd, cli } = await asked()
  const whole = await cli('audit', 'verify', 'keys.json.audit', '--json')
  expect(whole).toMatchObject({ code: 0 })
  expect(JSON.parse(whole.stdout)).toMatchObject({
    anchors: join(cwd, 'keys.json.audit.anchors.jsonl'),
    status: 'whole',
    entries: 3,
    unanchored: 0,
  })
  const [name = ''] = readdirSync(join(cwd, 'keys.json.audit'))
  const file = join(cwd, 'keys.json.audit', name)
  writeFileSync(file, readFileSync(file, 'utf8').replace('"purpose":"recall"', '"purpose":"other"'))
  const broken = await cli('audit', 'verify', 'keys.json.audit')
  expect(broken.code).toBe(1)
  expect(broken.stdout).toMatch(/an anchor has another line than the record \(entry 3\)\nbroken\n$/)
  const alone = await cli('audit', 'verify', 'keys.json.audit', '--anchors', 'nowhere')
  expect(alone).toMatchObject({ code: 2, stderr: expect.stringMatching(/storage\/not-found/) })
}, 30_000)

test('audit export writes who went back and what for, never over another file', async () => {
  const { cwd, cli } = await asked()
  const lines = await cli('audit', 'export', 'keys.json.audit', '--direction', 'reidentify')
  const entries = lines.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(entries.map(({ purpose, values, outcome }) => [purpose, values, outcome])).toEqual([
    [null, 2, 'answered'],
    ['recall', 2, 'answered'],
  ])
  const csv = ['audit', 'export', 'keys.json.audit', '--format', 'csv', '--out', 'x.csv', '--since', '1d', '--json']
  expect(JSON.parse((await cli(...csv)).stdout)).toEqual({ out: 'x.csv', entries: 3 })
  const [head, first] = readFileSync(join(cwd, 'x.csv'), 'utf8').split('\n')
  expect(head).toMatch(/^chain,n,time,request_id,/)
  expect(first).toMatch(/^[0-9a-f]{16},1,\d{4}-.*,pseudonymize,default,[a-z0-9]{4},,2,answered$/)
  expect(await cli(...csv)).toMatchObject({ code: 2 })
  expect(await cli('audit', 'export', 'keys.json.audit', '--json')).toMatchObject({ code: 2 })
  expect(readFileSync(join(cwd, 'x.csv'), 'utf8')).not.toContain('PLANTED')
}, 30_000)
