/**
 * Every failure a user can meet, met: one way to provoke each code of the table, through the command line or an exported function. A code
 * that nothing can provoke has no place in the table.
 */

import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { failure } from '../../cli/output/failure.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { ERRORS, type ErrorCode, PseudolakeError } from '../../lib/core/errors.ts'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { S3StorageOptions } from '../../lib/storage/s3/options.ts'
import { Gate } from '../../pipelines/batch/gate/gate.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { loadKeyring } from '../../service/keys/file.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { serve } from '../client/transports/server.ts'
import { awsError, type Behave, fakeAws } from '../helpers/aws.ts'
import { pseudolake } from '../helpers/cli.ts'
import { type GlueFault, glueFake } from '../helpers/glue-fake.ts'
import { aggregate } from '../helpers/kinesis/aggregate.ts'
import { type KinesisFake, kinesisFake } from '../helpers/kinesis/fake.ts'
import type { Lake } from '../helpers/lake.ts'
import { type FakeOptions, fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { namedFile, SIMPLE } from '../iceberg/tables.ts'
import { firstTable, open as openStream, stage } from '../kinesis/reading.ts'
import { stage as lakeAndStream, recipient } from '../pipelines/stream/stage.ts'
import * as damage from '../pipelines/verify/damage.ts'
import {
  API_KEY,
  answering,
  command,
  type Failed,
  input,
  interrupted,
  PLANTED,
  type Place,
  place,
  undisturbed,
} from './failing.ts'

/** Writes `text` over an input. */
const overwrite = ({ dir }: Lake, text: string | Uint8Array) => writeFileSync(join(dir, 'in', 'a.parquet'), text)

/** Another keyring in the place of the lake's. */
async function otherKeys({ cli, dir }: Place): Promise<void> {
  unlinkSync(join(dir, 'keys.json'))
  await cli('keys', 'create', '--out', 'keys.json')
}

async function keyringOf({ keyring }: Lake) {
  return openKeyring(await loadKeyring(keyring), nobleKernel, { randomBytes })
}

/** A write to a store that fails as it is told to: nothing but the look afterwards is answered. */
async function failingStore(options: FakeOptions, storage: Partial<S3StorageOptions> = {}): Promise<unknown> {
  const { fault } = options
  const ofWrites: FakeOptions = fault
    ? { ...options, fault: (asked) => (asked.operation === 'PutObject' ? fault(asked) : undefined) }
    : options
  const store = await fakeS3(['bucket'], ofWrites)
  onTestFinished(() => store.close())
  return s3Over(store.endpoint, storage).create('s3://bucket/key', Buffer.from(PLANTED))
}

/** A second run into a table in Glue, of whose calls one goes wrong for good. */
async function throughGlue(action: string, fault: GlueFault): Promise<unknown> {
  const home = await place()
  const glue = await glueFake()
  const clock = waitlessClock()
  const outside = { client: glue.client(), storage: localStorage(), warehouse: join(home.dir, 'warehouse'), clock }
  const catalog = glueCatalog({ ...outside, random: Math.random, uuid: randomUUID })
  await home.job({}, { catalog })
  await input(home, 'b')
  glue.fault(action, fault, 20)
  return home.job({}, { catalog, clock })
}

async function throughKinesis(ask: (fake: KinesisFake) => Promise<unknown>): Promise<unknown> {
  const fake = await kinesisFake()
  fake.memory.createStream('s', 1)
  return ask(fake)
}

/** A PutRecords of planted values that ends so. */
function refusedByKinesis(fault: string): Promise<unknown> {
  return throughKinesis((fake) => {
    fake.fault('PutRecords', fault)
    return fake.kinesis().put('s', [{ partitionKey: PLANTED, data: Buffer.from(PLANTED) }])
  })
}

/** Ways to each code: what fails ends with `Failed`, or throws. */
const PROVOKE: Readonly<Record<ErrorCode, () => Promise<unknown>>> = {
  'options/invalid': async () => (await place()).cli('batch', '--confg', PLANTED),
  'config/invalid': async () => (await place()).batch(`input.format=${PLANTED}`),
  'config/unknown-key': async () => (await place()).batch(`limits.max_concurency=${PLANTED}`),
  'config/overlap': async () => (await place()).batch('output.warehouse=in/out'),
  'input/not-found': async () => (await place()).batch('input.path=nowhere'),
  'input/column-missing': async () => (await place()).batch('columns.vni.mode=drop'),
  'input/not-parquet': async () => {
    const home = await place()
    overwrite(home, `vin,note\n${PLANTED},${PLANTED}\n`)
    return home.batch()
  },
  'input/not-csv': async () => {
    const home = await place()
    return home.batch('input.format=csv')
  },
  'input/corrupt': async () => {
    const home = await place()
    truncateSync(join(home.dir, 'in', 'a.parquet'), 300)
    return home.batch()
  },
  'input/encrypted': async () => {
    const home = await place()
    overwrite(home, `PARE${PLANTED.repeat(10)}PARE`)
    return home.batch()
  },
  'input/unsupported': async () => {
    const home = await place()
    await home.sql(`copy (select interval 1 month as vin, '${PLANTED}' as note) to '{dir}/in/a.parquet'`)
    return home.batch()
  },
  'input/mixed-schemas': async () => {
    const home = await place()
    await home.sql(`copy (select '${PLANTED}' as vin, 1.5 as note) to '{dir}/in/b.parquet'`)
    return home.batch()
  },
  'input/value-invalid': async () => {
    const home = await place()
    await home.sql(`copy (select repeat('${PLANTED}', 10000) as vin) to '{dir}/in/a.parquet'`)
    return home.batch()
  },
  'input/changed': async () => {
    const home = await place()
    await home.batch()
    await input(home, 'a', 60)
    return home.batch()
  },
  'output/exists': async () => {
    const { cli } = await place()
    return cli('datagen', '--rows', '10', '--out', 'in/a.parquet')
  },
  'storage/not-found': async () => {
    const home = await place()
    await home.batch()
    const metadata = join(home.table, 'metadata')
    unlinkSync(join(metadata, readdirSync(metadata).find((name) => name.startsWith('snap-')) as string))
    return home.cli('table', 'files', home.table)
  },
  'storage/denied': async () => {
    const home = await place()
    writeFileSync(join(home.dir, 'warehouse'), PLANTED)
    return home.batch()
  },
  'storage/conflict': async () => {
    const { dir } = await place()
    return localStorage().create(join(dir, 'job.yaml'), Buffer.from(PLANTED))
  },
  'storage/changed': async () => {
    const home = await place()
    return interrupted(home, () => input(home, 'a', 51))
  },
  'storage/full': async () => {
    const { dir } = await place()
    // 64 KiB are all a file may have.
    const script = `ulimit -f ${process.platform === 'linux' ? 64 : 128}; exec "$0" "$@"`
    const words = [resolveBin(), 'datagen', '--rows', '200000', '--format', 'csv', '--out', 'big.csv', '--json']
    return ended(promisify(execFile)('bash', ['-c', script, process.execPath, ...words], { cwd: dir }))
  },
  'storage/failed': async () => (await place()).cli('table', 'show', `/${'long'.repeat(100)}`),
  'storage/unknown': () => failingStore({ fault: () => ({ kind: 'reset' }) }, { retry: { attempts: 1 } }),
  'storage/wrong-region': () =>
    failingStore({
      fault: () => ({
        kind: 'refuse',
        status: 301,
        code: 'PermanentRedirect',
        headers: { 'x-amz-bucket-region': 'eu-north-1' },
      }),
    }),
  'storage/unsupported': () => failingStore({ unconditional: true }, { proveConditions: true }),
  'aws/no-credentials': () => withSecret(() => awsError('ExpiredTokenException', 400, PLANTED)),
  'aws/denied': () =>
    withSecret(
      ({ operation }) => (operation === 'AssumeRole' ? stsError(403, 'AccessDenied') : undefined),
      'aws.role_arn=arn:aws:iam::111111111111:role/caller',
    ),
  'aws/failed': () =>
    withSecret(
      ({ operation }) => (operation === 'AssumeRole' ? stsError(400, 'PackedPolicyTooLarge') : undefined),
      'aws.role_arn=arn:aws:iam::111111111111:role/caller',
    ),
  'secret/not-found': () => withSecret(),
  'secret/denied': () => withSecret(() => awsError('AccessDeniedException', 400, PLANTED)),
  'secret/invalid': () => withSecret(() => ({ body: { SecretString: `{"key": "${PLANTED}"}` } })),
  'secret/unavailable': () => withSecret(() => awsError('InternalServiceError', 500, PLANTED)),
  'service/unavailable': () => answering(500),
  'service/throttled': () => answering(429, { 'retry-after': '1' }),
  'service/timeout': async () => {
    const { url } = await serve((_, response) => new Promise((gone) => response.once('close', gone)))
    const over = [`service.url=${url}`, 'service.api_key.env=KEY'].flatMap((one) => ['--set', one])
    const words = ['batch', '--config', 'job.yaml', '--json', '--quiet', ...over]
    // Here the half minute passes at once too.
    return command(words, (await place()).dir, { KEY: API_KEY }, { clock: waitlessClock() })
  },
  'service/denied': () => answering(403),
  'service/refused': () => answering(400),
  'service/too-large': () => answering(413),
  'service/bad-answer': () => answering(200),
  'service/no-callers': async () => (await place()).cli('service', 'start', '--keyring', 'keys.json', '--port', '0'),
  'service/port-in-use': async () => {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    onTestFinished(() => void server.close())
    const port = String((server.address() as AddressInfo).port)
    const { cli } = await place({ PSEUDOLAKE_API_KEY: API_KEY })
    return cli('service', 'start', '--keyring', 'keys.json', '--port', port)
  },
  'audit/unsupported': async () => {
    const { cli, dir } = await place()
    mkdirSync(join(dir, 'calls'))
    const newer = { version: 99, chain: PLANTED, started: PLANTED, n: 0, previous: PLANTED }
    writeFileSync(join(dir, 'calls', 'audit-1.jsonl'), `${JSON.stringify(newer)}\n`)
    return cli('audit', 'verify', 'calls')
  },
  'keyring/not-found': async () => (await place()).cli('keys', 'show', 'nowhere.json'),
  'keyring/exists': async () => (await place()).cli('keys', 'create', '--out', 'keys.json'),
  'keyring/invalid': async () => {
    const home = await place()
    writeFileSync(home.keyring, JSON.stringify({ version: 2, domains: { default: { keys: PLANTED } } }))
    return home.cli('keys', 'show', 'keys.json')
  },
  'keyring/readable': async () => {
    const home = await place()
    chmodSync(home.keyring, 0o644)
    return home.batch()
  },
  'keyring/unknown-domain': async () => (await place()).batch('columns.vin.domain=nowhere'),
  'keyring/unknown-key': async () => (await place()).batch('columns.vin.key=zzzz'),
  'keyring/state': async () => {
    const home = await place()
    const { domains } = await keyringOf(home)
    return home.cli('keys', 'retire', 'keys.json', domains[0]?.primary as string)
  },
  'keyring/shares': async () => {
    const home = await place()
    await home.cli('keys', 'backup', 'keys.json', '--out', 'keys.backup', '--shares', '2-of-3')
    return home.cli('keys', 'restore', 'keys.backup', '--check', '--share', 'keys.backup.share-2')
  },
  'keyring/busy': async () => {
    const home = await place()
    writeFileSync(`${home.keyring}.next`, PLANTED)
    return home.cli('keys', 'rotate', 'keys.json')
  },
  'pseudonym/invalid': async () =>
    reidentify(await keyringOf(await place()), { domain: 'default', values: [`p2.abcd.${PLANTED}`] }),
  'identifier/invalid': async () =>
    pseudonymize(await keyringOf(await place()), {
      domain: 'default',
      deterministic: true,
      values: [`${PLANTED}\ud800`],
    }),
  'table/not-found': async () => (await place()).cli('table', 'show', 'nowhere'),
  'table/invalid': async () => {
    const home = await place()
    await home.batch()
    writeFileSync(join(home.table, 'metadata', 'v1.metadata.json'), `{"${PLANTED}": `)
    return home.batch()
  },
  'table/unsupported': async () => {
    const home = await place()
    await home.batch()
    await damage.editMetadata(home.table, (metadata) => void Object.assign(metadata, { 'format-version': 3 }))
    return home.batch()
  },
  'table/schema-changed': async () => {
    const home = await place()
    await home.batch()
    await home.sql(`copy (select '${PLANTED}' as vin, '' as note, 1::bigint as n, 2 as more) to '{dir}/in/b.parquet'`)
    return home.batch()
  },
  'table/key-changed': async () => {
    const home = await place()
    await home.batch()
    await otherKeys(home)
    return home.batch()
  },
  'table/changed': async () => {
    const home = await place()
    await undisturbed(home)
    await input(home, 'b')
    return interrupted(home, () => damage.setProperty(home.table, 'pseudolake.columns', PLANTED))
  },
  'table/mark-changed': async () => {
    const home = await place()
    await undisturbed(home)
    await input(home, 'b')
    return interrupted(home, () => undisturbed(home))
  },
  'table/mark-unreadable': async () => {
    const home = await place()
    await home.batch()
    await damage.setProperty(home.table, 'pseudolake.job.test', PLANTED)
    return home.batch()
  },
  'table/no-mark': async () => {
    const home = await place()
    await home.batch()
    await damage.editMetadata(home.table, ({ properties }) => void delete properties['pseudolake.job.test'])
    return home.batch()
  },
  'table/commit-overwritten': async () => {
    const home = await place()
    await home.batch()
    // As it is where somebody has put a state of before the job's commit over it.
    await damage.editMetadata(home.table, ({ properties }) => void delete properties['pseudolake.job.test'])
    await damage.editManifests(home.table, () => [])
    return home.batch()
  },
  'table/files-gone': async () => {
    const home = await place()
    await home.batch()
    await damage.editManifests(home.table, () => [])
    await input(home, 'a', 60)
    return home.batch('input.changed=replace')
  },
  'table/conflict': async () => {
    const home = await place()
    const clock = waitlessClock()
    const commit = async () => {
      throw new PseudolakeError('table/conflict', 'somebody was first')
    }
    const catalog = filesystemCatalog({ storage: localStorage(), warehouse: join(home.dir, 'warehouse'), clock })
    return home.job({}, { catalog: { ...catalog, commit }, clock })
  },
  'table/commit-unknown': async () => {
    const home = await place()
    await undisturbed(home)
    await input(home, 'b')
    // What is in the way is no metadata that could be compared.
    return interrupted(home, async () => mkdirSync(join(home.table, 'metadata', 'v2.metadata.json')))
  },
  'catalog/denied': () => throughGlue('UpdateTable', 'denied'),
  'catalog/refused': () => throughGlue('UpdateTable', 'limit'),
  'catalog/unavailable': () => throughGlue('UpdateTable', 'throttled'),
  'gate/failed': async () => {
    const home = await place()
    const output = join(home.dir, 'written.parquet')
    writeFileSync(output, PLANTED.repeat(5))
    const gate = new Gate({
      storage: localStorage(),
      full: false,
      maxMatchRatio: 0,
      reidentify: false,
      memoryBytes: 1 << 20,
      seed: 1,
      signal: new AbortController().signal,
    })
    // Only what was written is looked at before it turns out to be no Parquet file.
    const plan = { columns: [] }
    return gate.file({ output, plan, rules: new Map(), constants: new Map() } as unknown as Parameters<Gate['file']>[0])
  },
  'kinesis/not-found': () => throughKinesis((fake) => fake.kinesis().describe('nowhere')),
  'kinesis/denied': () => refusedByKinesis('KMSDisabledException'),
  'kinesis/refused': () => refusedByKinesis('ValidationException'),
  'kinesis/throttled': () => refusedByKinesis('ProvisionedThroughputExceededException'),
  'kinesis/unavailable': () => refusedByKinesis('500'),
  'kinesis/trimmed': async () => {
    const on = stage(1)
    const table = await firstTable(on)
    on.clock.advance(25 * 3_600_000)
    return (await openStream(on, table)).next()
  },
  'kinesis/stream-changed': async () => {
    const on = stage(1)
    const table = await firstTable(on)
    on.memory.deleteStream('s')
    on.clock.advance(1000)
    on.memory.createStream('s', 1)
    return openStream(on, table)
  },
  'query/failed': async () => {
    const home = await place()
    await home.batch()
    return home.cli('query', 'select note::int from t', '--table', `t=${home.table}`)
  },
  'query/too-large': async () => {
    const storage = memoryStorage()
    const catalog = memoryCatalog({ storage, warehouse: 'memory:/wh', clock: waitlessClock(), uuid: randomUUID })
    const context = { clock: waitlessClock(), random: Math.random, uuid: randomUUID }
    const table = { database: 'db', name: 't' }
    const files = [{ ...namedFile('memory:/a'), bytes: 11 }]
    await appendFiles(catalog, table, { schema: SIMPLE, create: { properties: {} }, files, runId: 'run' }, context)
    const tables = new Map([['t', { state: await catalog.load(table), storage }]])
    return runQuery(`select '${PLANTED}' from t`, { storage, tables, maxFetchBytes: 10 })
  },
  'stream/bad-record': async () => {
    const on = await lakeAndStream(1)
    await on.put([`{"vin": ${PLANTED}`])
    return on.run()
  },
  'stream/too-many-bad': async () => {
    const on = await lakeAndStream(1)
    const bad = { partitionKey: PLANTED, data: Buffer.from(PLANTED) }
    // Both at one place, so that nothing can be committed between them.
    await on.put([aggregate([bad, bad])])
    return on.run({ quarantine: { path: `${on.dir}/quarantine`, recipient: recipient().publicKey, max_records: 1 } })
  },
  'quarantine/unreadable': async () =>
    (await place()).cli('quarantine', 'open', '--config', 'job.yaml', '--key', 'keys.json'),
  'run/interrupted': async () => {
    const home = await place()
    const signal = AbortSignal.abort(new Error(PLANTED))
    return command(['batch', '--config', 'job.yaml', '--json'], home.dir, {}, { signal })
  },
  'environment/missing': async () => {
    const home = await place()
    await home.batch()
    const refuse = `import{registerHooks}from'node:module';registerHooks({resolve(s,c,n){if(s==='@duckdb/node-api')throw Error('${PLANTED}');return n(s,c)}})`
    const { code, ...ended } = await pseudolake(['query', 'select 1', '--table', `t=${home.table}`, '--json'], {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(refuse)}` },
    })
    return { exit: code, ...ended }
  },
  'internal/bug': async () => {
    const home = await place()
    const clock = {
      ...systemClock(),
      wall(): number {
        throw new TypeError(`${PLANTED} is not a clock`)
      },
    }
    return home.job({}, { clock, uuid: clock.wall as unknown as typeof randomUUID })
  },
}

/** The lake's job with an API key out of a Secrets Manager that behaves so. */
async function withSecret(behave?: Behave, ...set: string[]): Promise<Failed> {
  const { env } = await fakeAws(behave)
  const home = await place(env)
  return home.batch(
    'service.url=http://127.0.0.1:9/pseudonymization',
    'service.api_key.secret=my/key',
    'limits.max_concurrency=1',
    ...set,
  )
}

const stsError = (status: number, code: string) => ({
  status,
  headers: { 'content-type': 'text/xml' },
  body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${PLANTED}</Message></Error></ErrorResponse>`,
})

/** An exit that `execFile` made an error of. */
async function ended(running: Promise<{ stdout: string; stderr: string }>): Promise<Failed> {
  return running.then(
    (done) => ({ exit: 0, ...done }),
    (error: { code: number; stdout: string; stderr: string }) => ({ exit: error.code, ...error }),
  )
}

const resolveBin = () => new URL('../../bin/pseudolake.js', import.meta.url).pathname

/** What an exported function throws, as the command line would end with it. */
function asEnded(error: unknown): Failed {
  const { exit, json, text } = failure(error)
  return { exit, stdout: JSON.stringify(json), stderr: text }
}

test.each(Object.keys(ERRORS) as ErrorCode[])(
  '%s can happen, ends with its status and one document, and shows no value',
  async (code) => {
    const provoke = PROVOKE[code]
    expect(provoke, 'the table has a code that nothing provokes').toBeTypeOf('function')
    const failed = (await provoke().catch(asEnded)) as Failed
    expect(failed, `${code} did not fail`).toMatchObject({ stdout: expect.stringMatching(/./) })
    const document = JSON.parse(failed.stdout)
    expect(document).toEqual({
      status: 'failed',
      error: {
        code,
        retryable: ERRORS[code].retryable || ERRORS[code].exit === 3,
        outcome: code === 'table/commit-unknown' ? 'unknown' : 'nothing-published',
        message: expect.stringMatching(/\S/),
        hint: expect.stringMatching(/\S/),
      },
    })
    expect(failed.exit).toBe(ERRORS[code].exit)
    expect(failed.stderr).toContain(`error ${code}: `)
    expect(failed.stdout + failed.stderr).not.toContain(PLANTED)
  },
  30_000,
)
