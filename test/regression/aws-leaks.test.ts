/**
 * Nothing that is secret is in what a run prints, in its report, or in a file that it leaves, whatever fails: keys of AWS, the service's key, a
 * proxy's password, identifiers and pseudonyms. Every server here repeats in its errors what it was sent, and what it knows.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { serve } from '../client/transports/server.ts'
import { accessKeyOf, awsError, type Behave, fakeAws, KEYS, secretKeyOf } from '../helpers/aws.ts'
import { type Ended, pseudolake } from '../helpers/cli.ts'
import { glueFake } from '../helpers/glue-fake.ts'
import { duckdb } from '../helpers/lake.ts'
import { type FakeS3, fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'

const API_KEY = 'PLANTED-api-key-7f3a'
const IDENTIFIER = 'PLANTED-vin-7f3a'
const TOKEN = 'PLANTED-session-token-7f3a'
const SECRET_KEY = 'PLANTED-secret-access-key-7f3a'
const CREDENTIAL = 'PLANTED-client-secret-7f3a'
const ROLE = 'arn:aws:iam::111111111111:role/writer'

interface Wrong {
  readonly aws?: Behave
  readonly s3?: FakeS3['fault']
  readonly glue?: (glue: Awaited<ReturnType<typeof glueFake>>) => void
  readonly service?: number
  readonly set?: readonly string[]
}

/** Everything a run printed and left, outside the buckets. */
interface Left {
  readonly ended: Ended
  readonly text: string
}

async function run({ aws: behave, s3: fault, glue: break_, service: status, set = [] }: Wrong): Promise<Left> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-leaks-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const glue = await glueFake(['db'])
  break_?.(glue)
  const aws = await fakeAws(
    async (request, nth) => {
      const given = await behave?.(request, nth)
      if (given || request.service !== 'glue') return given
      const sent = {
        'x-amz-target': String(request.headers['x-amz-target']),
        'content-type': 'application/x-amz-json-1.1',
      }
      const forwarded = { method: 'POST', headers: sent, body: new Uint8Array(request.body) }
      const answer = await fetch(glue.url, forwarded).catch(() => undefined)
      return answer
        ? { status: answer.status, body: await answer.text() }
        : awsError('InternalServiceException', 500, all)
    },
    { 'blog/key': JSON.stringify({ api_key_value: API_KEY }) },
  )
  const store = await fakeS3(['raw', 'lake'])
  onTestFinished(() => store.close())
  const made = join(dir, 'made.parquet')
  await duckdb(`copy (select '${IDENTIFIER}-' || i as vin, i as n from range(500) r(i)) to '${made}'`)
  await s3Over(store.endpoint).create('s3://raw/in/a.parquet', readFileSync(made))
  rmSync(made)
  store.fault = fault
  const { url } = await serve((received, response) => {
    if (status === undefined) return
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ message: received.body, headers: received.headers, pseudonyms: [API_KEY] }))
  })
  writeFileSync(
    join(dir, 'job.yaml'),
    `job: leaks
input: { path: "s3://raw/in/" }
columns: { vin: { mode: deterministic } }
service: { url: "${url}", api_key: { secret: blog/key } }
output: { table: db.t, warehouse: "s3://lake/w", catalog: { type: glue }, aws: { role_arn: "${ROLE}", external_id: shared } }
aws: { endpoints: { s3: "${store.endpoint}" } }
limits: { max_concurrency: 1 }
`,
  )
  const env = {
    ...aws.env,
    TMPDIR: dir,
    UNUSED_CREDENTIAL: `id:${CREDENTIAL}`,
    NO_PROXY: '127.0.0.1',
    HTTPS_PROXY: 'http://me:PLANTED-proxy-7f3a@127.0.0.1:9',
  }
  const over = set.flatMap((one) => ['--set', one])
  const cli = (...words: string[]) => pseudolake(words, { cwd: dir, env })
  // Under --json a failure is told on stderr too, as a person reads it.
  const ended = await cli('batch', '--config', 'job.yaml', '--report', 'report.html', '--json', ...over)
  const others =
    ended.code === 0
      ? [
          await cli('batch', '--config', 'job.yaml', '--plan'),
          await cli('config', 'explain', 'job.yaml', '--json'),
          await cli('table', 'show', 'glue:db.t', '--config', 'job.yaml'),
          await cli('table', 'files', 'glue:db.t', '--config', 'job.yaml'),
        ]
      : []
  const said = [ended, ...others].map(({ stdout, stderr }) => stdout + stderr).join('\n')
  return { ended, text: `${said}\n${textsBelow(dir)}` }
}

/** Node's cache of our own sources is not a run's. */
function textsBelow(folder: string): string {
  return readdirSync(folder)
    .filter((name) => name !== 'node-compile-cache')
    .map((name) => join(folder, name))
    .map((path) => `${path}\n${statSync(path).isDirectory() ? textsBelow(path) : readFileSync(path, 'latin1')}`)
    .join('\n')
}

function expectNoSecret({ text }: Left): void {
  // What everybody starts with is `test-secret`, which no other word here holds.
  const secrets = [KEYS.AWS_SECRET_ACCESS_KEY, secretKeyOf(ROLE), `token-of-${accessKeyOf(ROLE)}`, 'PLANTED']
  for (const secret of secrets) expect(text.includes(secret), `${secret.slice(0, 12)}… is shown`).toBe(false)
  // Of the service of these tests, whose pseudonyms are of the v2 form.
  expect(text).not.toMatch(/p2\.[a-z0-9]{4}\.[A-Za-z0-9_-]{20}/)
  expect(text).not.toMatch(/AWS4-HMAC-SHA256|x-amz-security-token/i)
}

const all = `${API_KEY} ${IDENTIFIER} ${TOKEN} ${SECRET_KEY}`
const refusing = (code: string, status: number, when: (operation: string) => boolean): FakeS3['fault'] => {
  return ({ operation }) => (when(operation) ? { kind: 'refuse', status, code, message: all } : undefined)
}

test('of a run that ends well', async () => {
  const left = await run({})
  expect([left.ended.code, left.ended.stderr]).toEqual([0, ''])
  expect(JSON.parse(left.ended.stdout)).toMatchObject({ status: 'done', rows: 500 })
  expectNoSecret(left)
}, 60_000)

test.each<[string, Wrong, string]>([
  [
    'a secret that is refused',
    {
      aws: ({ operation }) =>
        operation === 'GetSecretValue' ? awsError('AccessDeniedException', 400, all) : undefined,
    },
    'secret/denied',
  ],
  [
    'a secret of another form',
    {
      aws: ({ operation }) =>
        operation === 'GetSecretValue' ? { body: { SecretString: `{"key": "${API_KEY}"}` } } : undefined,
    },
    'secret/invalid',
  ],
  [
    'a role that is refused',
    { aws: ({ operation }) => (operation === 'AssumeRole' ? stsRefusal() : undefined) },
    'aws/denied',
  ],
  ['a catalog that is denied', { glue: (glue) => glue.fault('GetTable', 'denied', 9) }, 'catalog/denied'],
  [
    'a commit without an outcome',
    {
      glue: (glue) => glue.fault('CreateTable', 'reset', 99),
    },
    'table/commit-unknown',
  ],
  [
    'a store that denies reads',
    { s3: refusing('AccessDenied', 403, (operation) => operation === 'GetObject') },
    'storage/denied',
  ],
  [
    'a store that denies writes',
    { s3: refusing('AccessDenied', 403, (operation) => operation === 'PutObject') },
    'storage/denied',
  ],
  ['a store that knows no such key', { s3: refusing('InvalidAccessKeyId', 403, () => true) }, 'storage/denied'],
  ['a service that denies', { service: 403 }, 'service/denied'],
  ['a service that refuses', { service: 422 }, 'service/refused'],
  ['a service that answers wrongly', { service: 200 }, 'service/bad-answer'],
  [
    'a key that is no key',
    {
      aws: ({ operation }) =>
        operation === 'GetSecretValue' ? { body: { SecretString: `${API_KEY} ${API_KEY}` } } : undefined,
    },
    'secret/invalid',
  ],
])(
  'of a run that fails by %s',
  async (_, wrong, code) => {
    const left = await run(wrong)
    expect(left.ended.stderr).toContain(`error ${code}`)
    expectNoSecret(left)
  },
  60_000,
)

function stsRefusal() {
  return {
    status: 403,
    headers: { 'content-type': 'text/xml' },
    body: `<ErrorResponse><Error><Code>AccessDenied</Code><Message>${all}</Message></Error></ErrorResponse>`,
  }
}
