/** Who read the output has gone, as `| head` goes when it has enough: nobody is told of a broken pipe, and what is at work goes on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'

test('a command whose stdout nobody reads ends as it would have', async () => {
  const { child, ended } = start(['config', 'schema'])
  child.stdout?.destroy()
  expect(await ended).toMatchObject({ code: 0, stderr: '' })
})

test('a service whose log nobody reads any more answers', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-closed-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const keyring = join(dir, 'keys.json')
  await pseudolake(['keys', 'create', '--out', keyring])
  const service = start(['service', 'start', '--keyring', keyring, '--port', '0', '--insecure-no-auth'])
  const url = (await firstLine(service)).slice('listening on '.length)
  service.child.stdout?.destroy()
  service.child.stderr?.destroy()
  for (let i = 0; i < 3; i++) {
    const answer = await fetch(`${url}/pseudonymization`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"identifiers":["a"]}',
    })
    expect([answer.status, await answer.json()]).toEqual([200, { pseudonyms: [expect.any(String)] }])
  }
  service.child.kill('SIGTERM')
  expect((await service.ended).code).toBe(0)
})
