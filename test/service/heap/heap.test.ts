/** After work is done, nothing of it is left: not in the heap of a process that served and asked, not in its log, not in its record. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

let dir: string
let child: ChildProcess
let url: string
let log = ''

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
  const script = fileURLToPath(new URL('serve.ts', import.meta.url))
  child = spawn(process.execPath, ['--expose-gc', script, dir], { stdio: 'pipe' })
  child.stderr?.on('data', (chunk) => (log += chunk))
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  url = String(line).trim()
})

afterAll(async () => {
  child.stdin?.end()
  await once(child, 'exit')
  rmSync(dir, { recursive: true, force: true })
})

async function tell(word: string): Promise<void> {
  child.stdin?.write(`${word}\n`)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
}

async function post(path: string, body: string, headers: Record<string, string> = {}) {
  const init = { 'content-type': 'application/json', ...headers }
  const response = await fetch(url + path, { method: 'POST', body, headers: init })
  return { status: response.status, text: await response.text() }
}

/** Values that occur nowhere else, of two kinds: those in strings that were whole, and those in texts that were refused. */
const planted = (count: number) =>
  Array.from({ length: count }, (_, i) => `planted-${randomBytes(9).toString('hex')}-${i}`)

const found = (text: string, values: readonly string[]) => values.filter((value) => text.includes(value)).length

test('neither identifiers, pseudonyms nor API keys are in the heap after a collection, nor what the client’s cache held once it is gone', async () => {
  const asked = planted(500)
  writeFileSync(join(dir, 'values.json'), JSON.stringify(asked))
  await tell('ask')
  rmSync(join(dir, 'values.json'))

  const served = planted(2_000)
  const key = `key-${randomBytes(12).toString('hex')}`
  const headers = { 'x-api-key': key, 'x-pseudolake-purpose': 'test' }
  const made = await post('/pseudonymization?deterministic=True', JSON.stringify({ identifiers: served }), headers)
  const random = await post('/pseudonymization', JSON.stringify({ identifiers: served }), headers)
  const pseudonyms: string[] = [made, random].flatMap(({ text }) => JSON.parse(text).pseudonyms)
  const back = await post('/reidentification', JSON.stringify({ pseudonyms }), headers)
  expect([made.status, random.status, back.status]).toEqual([200, 200, 200])

  const refused = planted(40)
  const bodies: [string, string, number][] = [
    ['/reidentification', JSON.stringify({ pseudonyms: refused.slice(0, 10) }), 422],
    ['/pseudonymization', `{"identifiers":${JSON.stringify(refused.slice(10, 20)).slice(0, -1)},"\\ud800"]}`, 400],
    ['/pseudonymization', `{"identifiers":${JSON.stringify(refused.slice(20, 30)).slice(0, -1)}`, 400],
    [`/pseudonymization?domain=${refused[30]}&${refused[31]}=1`, '{}', 400],
    [`/${refused[32]}`, '{}', 404],
    ['/pseudonymization', `{"${refused[33]}":"${refused[34]}","identifiers":[{"${refused[35]}":1}]}`, 422],
  ]
  for (const [path, body, status] of bodies) expect((await post(path, body, headers)).status).toBe(status)

  await tell('snapshot')
  const before = readFileSync(join(dir, '1.heapsnapshot'), 'utf8')
  // The client holds what it was answered: the search finds what is there.
  expect(found(before, asked)).toBeGreaterThan(490)
  for (const values of [served, pseudonyms, refused, [key]]) expect(found(before, values)).toBe(0)

  await tell('clear')
  await tell('snapshot')
  const after = readFileSync(join(dir, '2.heapsnapshot'), 'utf8')
  expect(after.length).toBeGreaterThan(1_000_000)
  expect(found(after, [...asked, ...served, ...pseudonyms, ...refused, key])).toBe(0)

  const record = readdirSync(join(dir, 'keys.json.audit')).map((name) =>
    readFileSync(join(dir, 'keys.json.audit', name), 'utf8'),
  )
  const written = [log, ...record, readFileSync(join(dir, 'keys.json.audit.anchors.jsonl'), 'utf8')].join('\n')
  expect(written).toContain('"status":422')
  expect(found(written, [...asked, ...served, ...pseudonyms, ...refused, key, 'planted'])).toBe(0)
}, 60_000)
