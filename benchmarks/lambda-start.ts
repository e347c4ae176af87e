/**
 * How long the function takes from the start of its process to its first question for an event, in Lambda's own runtime for Node, beside a
 * handler that does nothing there: `node benchmarks/lambda-start.ts [STARTS]`. Secrets Manager is a server on loopback that answers at once. Each
 * start is checked by an answer before it counts. Needs scripts/interop/install.sh.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createKeyring } from '../service/keys/create.ts'
import { writeKeyring } from '../service/keys/format.ts'
import { startLambda } from '../test/helpers/lambda-runtime.ts'
import { fakeS3 } from '../test/helpers/s3/fake.ts'

const starts = Number(process.argv[2] ?? 10)
const home = process.env.INTEROP_DIR ?? join(homedir(), '.cache', 'pseudolake-interop')
const client = join(home, 'lambda', 'node_modules', 'aws-lambda-ric', 'index.mjs')
const folder = mkdtempSync(join(tmpdir(), 'pseudolake-lambda-'))
const TICK_MS = 10

interface Start {
  readonly wallMs: number
  readonly cpuMs: number
  readonly rssMb: number
}

const keyring = writeKeyring(createKeyring({ randomBytes, now: Date.now() }))
const secrets = createServer(async (request, response) => {
  const { SecretId, VersionStage } = JSON.parse(Buffer.concat(await request.toArray()).toString())
  const found = VersionStage === undefined
  response.writeHead(found ? 200 : 400, { 'content-type': 'application/x-amz-json-1.1' })
  const missing = { __type: 'ResourceNotFoundException' }
  response.end(
    JSON.stringify(found ? { Name: SecretId, SecretString: SecretId === 'keys' ? keyring : 'key' } : missing),
  )
})
await new Promise<void>((resolve) => secrets.listen(0, '127.0.0.1', resolve))
const store = await fakeS3(['audit'])

async function once(of: string, more: Record<string, string> = {}): Promise<Start> {
  const started = await startLambda({
    command: [process.execPath, client, 'index.handler'],
    folder: of,
    env: {
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL: `http://127.0.0.1:${(secrets.address() as AddressInfo).port}`,
      PSEUDOLAKE_KEYRING_SECRET: 'keys',
      PSEUDOLAKE_API_KEYS_SECRET: 'callers',
      ...more,
    },
  })
  try {
    const [user = 0, system = 0] =
      readFileSync(`/proc/${started.pid}/stat`, 'latin1').split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? []
    const rss = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${started.pid}/status`, 'latin1'))?.[1])
    const { payload } = await started.invoke({
      httpMethod: 'POST',
      path: '/pseudonymization',
      headers: { 'x-api-key': 'key' },
      body: '{"identifiers":["a"]}',
    })
    if (JSON.parse(payload.toString()).statusCode !== 200) throw new Error(started.output())
    return { wallMs: started.initMs, cpuMs: (user + system) * TICK_MS, rssMb: rss / 1024 }
  } finally {
    await started.stop()
  }
}

try {
  const ours = join(folder, 'ours')
  const bare = join(folder, 'bare')
  execFileSync(process.execPath, ['scripts/lambda.js', ours])
  mkdirSync(bare)
  writeFileSync(join(bare, 'index.mjs'), 'export const handler = async () => ({ statusCode: 200 })')
  const files = readdirSync(ours).map((name) => readFileSync(join(ours, name)))
  const [bytes, packed] = [files, files.map((file) => gzipSync(file))].map((list) =>
    list.reduce((sum, { length }) => sum + length, 0),
  )
  process.stdout.write(`bundle: ${files.length} files, ${bytes} bytes, ${packed} packed\n`)
  const results: Record<string, Start[]> = { bare: [], pseudolake: [], 'pseudolake, record in a bucket': [] }
  const record = { AWS_ENDPOINT_URL_S3: store.endpoint, PSEUDOLAKE_AUDIT: 's3://audit/calls/' }
  for (let i = 0; i < starts; i++) {
    results.bare?.push(await once(bare))
    results.pseudolake?.push(await once(ours))
    results['pseudolake, record in a bucket']?.push(await once(ours, record))
  }
  for (const [name, all] of Object.entries(results)) {
    const of = (pick: (start: Start) => number) => all.map(pick).sort((a, b) => a - b)
    const say = (list: number[], unit: string) =>
      `${Math.round(list[0] as number)}–${Math.round(list.at(-1) as number)} (median ${Math.round(list[list.length >> 1] as number)}) ${unit}`
    process.stdout.write(
      `${name}: ${say(
        of((s) => s.wallMs),
        'ms',
      )}, ${say(
        of((s) => s.cpuMs),
        'ms of CPU',
      )}, ${say(
        of((s) => s.rssMb),
        'MB',
      )}\n`,
    )
  }
} finally {
  secrets.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
}
