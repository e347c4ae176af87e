import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { KERNELS, type KernelName } from '../../lib/crypto/open.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { storageAs } from '../../pipelines/storages.ts'
import type { LogEntry } from '../../service/app.ts'
import { emf } from '../../service/emf.ts'
import { EMULATION_SETTINGS, readEmulation } from '../../service/emulator/options.ts'
import { keyringInSecrets, secretsOf } from '../../service/secrets.ts'
import { startService } from '../../service/start.ts'
import type { Command } from '../command.ts'
import { absolute } from '../paths.ts'

export const serviceStart: Command = {
  name: 'service start',
  summary: 'Run the pseudonymization service on this machine until it is told to stop.',
  options: {
    keyring: {
      type: 'string',
      value: 'F',
      required: true,
      summary:
        'The keyring: a file (`pseudolake keys create`), or a secret of Secrets Manager, as `secret:NAME` or by its ARN',
    },
    port: { type: 'integer', value: 'P', default: '8080', summary: '0: any free port' },
    host: { type: 'string', value: 'H', default: '127.0.0.1', summary: 'The address to listen on' },
    'tls-cert': {
      type: 'string',
      value: 'F',
      summary: 'Speak TLS, and HTTP/2 to those who do: the certificate, and those up to its authority, as PEM',
    },
    'tls-key': { type: 'string', value: 'F', summary: 'The certificate’s key, as PEM' },
    'api-keys': {
      type: 'string',
      value: 'F',
      summary:
        'Callers: a JSON list of {name, key_sha256, permissions: [pseudonymize, reidentify], domains, until}, or as `keys callers` writes it; a file, or a secret as of the keyring',
    },
    'insecure-no-auth': {
      type: 'boolean',
      summary: 'For tests, on loopback only: everybody may do everything',
    },
    'secret-ttl-seconds': {
      type: 'number',
      value: 'S',
      default: '300',
      summary: 'How long what comes out of Secrets Manager is taken as it was read',
    },
    usage: {
      type: 'string',
      value: 'F',
      default: '<keyring>.usage.json',
      summary: 'Where what callers used of their quotas is remembered, where one has a quota',
    },
    audit: {
      type: 'string',
      value: 'DIR',
      default: '<keyring>.audit',
      summary: 'Where calls are put on record: a folder, or an s3:// location',
    },
    anchors: {
      type: 'string',
      value: 'PLACE',
      default: '<audit>.anchors.jsonl',
      summary:
        'Where the record’s head is put down every minute: a file, or an s3:// location; best one that this process can’t change',
    },
    'max-requests-per-second': {
      type: 'number',
      value: 'N',
      summary: 'For each caller that has no rate of its own; above it a 429. No limit by default',
    },
    'cache-mb': {
      type: 'number',
      value: 'MB',
      default: '32',
      summary:
        'Memory for what each caller asked before, so that it need not be made anew (docs/service.md); 0: nothing is remembered',
    },
    'cache-minutes': {
      type: 'number',
      value: 'M',
      default: '10',
      summary: 'How long that is remembered',
    },
    emulate: {
      type: 'string',
      value: 'WHAT',
      choices: ['lambda'],
      summary: 'For load tests: behave as API Gateway and Lambda, with their limits (docs/service.md)',
    },
    'emulate-set': {
      type: 'string',
      value: 'NAME=VALUE',
      multiple: true,
      summary: `Of the emulation: ${EMULATION_SETTINGS.join(', ')}`,
    },
    emf: { type: 'boolean', summary: 'Metrics in the log too, in CloudWatch’s embedded format, a line for each call' },
    'drain-seconds': {
      type: 'number',
      value: 'S',
      default: '0',
      summary: 'How long `GET /ready` says no, when it is told to stop, before no more calls are taken',
    },
    kernel: {
      type: 'string',
      value: 'K',
      choices: KERNELS,
      default: 'wasm',
      summary: 'The cipher: wasm (noble where that can’t run), or noble, the audited libraries, much slower',
    },
  },
  examples: [
    ['PSEUDOLAKE_API_KEY=… pseudolake service start --keyring keys.json', 'one caller, who may pseudonymize'],
    ['pseudolake service start --keyring keys.json --api-keys callers.json --port 0', 'callers by file, any free port'],
    [
      'pseudolake service start --keyring keys.json --insecure-no-auth --emulate lambda --emulate-set concurrency=20 --emulate-set latency=3ms',
      'how a job fares with twenty execution environments',
    ],
  ],
  async run(args, io) {
    const keyring = args.string('keyring')
    if (keyring === undefined)
      throw new PseudolakeError('options/invalid', '--keyring: expected a file', { option: 'keyring' })
    const apiKeys = args.string('api-keys')
    const apiKey = io.env.PSEUDOLAKE_API_KEY
    const audit = args.string('audit')
    const anchors = args.string('anchors')
    const usage = args.string('usage')
    const kernel = args.string('kernel') as KernelName | undefined
    const emulateSet = args.strings('emulate-set')
    if (emulateSet.length > 0 && args.string('emulate') === undefined)
      throw new PseudolakeError('options/invalid', '--emulate-set: needs --emulate', { option: 'emulate-set' })
    const drainSeconds = args.number('drain-seconds') ?? 0
    if (!(drainSeconds >= 0 && drainSeconds <= 3600))
      throw new PseudolakeError('options/invalid', '--drain-seconds: expected a number from 0 to 3600')
    const requestsPerSecond = args.number('max-requests-per-second')
    if (requestsPerSecond !== undefined && !(requestsPerSecond > 0))
      throw new PseudolakeError('options/invalid', '--max-requests-per-second: expected a number above 0')
    const tls = await readTls(args.string('tls-cert'), args.string('tls-key'), io.cwd)
    const log = (entry: LogEntry) =>
      io.note(JSON.stringify({ time: new Date(io.clock.wall()).toISOString(), ...entry }))
    const { env, clock, random } = io
    const { aws, close: closeAws } = lazyAws(env)
    const secret = secretOf(keyring)
    const callersSecret = apiKeys === undefined ? undefined : secretOf(apiKeys)
    const ttlSeconds = args.number('secret-ttl-seconds') ?? 300
    if (!(ttlSeconds >= 1 && ttlSeconds <= 86_400))
      throw new PseudolakeError('options/invalid', '--secret-ttl-seconds: expected a number from 1 to 86400')
    const ttlMs = ttlSeconds * 1000
    const service = await startService({
      keyring:
        secret === undefined
          ? resolve(io.cwd, keyring)
          : keyringInSecrets({
              name: secret,
              aws,
              clock,
              ttlMs,
              say: (reason) => log({ level: 'warn', event: 'previous-keyring-not-used', reason }),
            }),
      host: args.string('host') ?? '127.0.0.1',
      port: portOf(args.number('port') ?? 8080),
      ...(tls && { tls }),
      auth: {
        insecureNoAuth: args.flag('insecure-no-auth'),
        ...(apiKeys !== undefined && {
          apiKeys:
            callersSecret === undefined
              ? resolve(io.cwd, apiKeys)
              : { name: callersSecret, secrets: secretsOf({ name: callersSecret, aws, clock, ttlMs }) },
        }),
        ...(apiKey !== undefined && { apiKey }),
      },
      ...(audit !== undefined && { audit: absolute(io.cwd, audit) }),
      ...(anchors !== undefined && { anchors: absolute(io.cwd, anchors) }),
      storage: storageAs({}, { env, clock, random, aws }),
      ...(usage !== undefined && { usage: resolve(io.cwd, usage) }),
      ...(kernel !== undefined && { kernel }),
      ...(requestsPerSecond !== undefined && { requestsPerSecond }),
      cacheBytes: megabytes(args.number('cache-mb') ?? 32),
      cacheAgeMs: minutes(args.number('cache-minutes') ?? 10),
      ...(args.string('emulate') !== undefined && { emulation: readEmulation(emulateSet) }),
      drainMs: drainSeconds * 1000,
      ...(args.flag('emf') && { observe: emf({ write: io.note, now: () => io.clock.wall() }) }),
      clock: io.clock,
      log,
    })
    const deaf = io.hangups?.(async () => {
      service.forget()
      const [ring, callers] = await Promise.all([service.reload(), service.reloadCallers()])
      log({ level: 'info', event: 'hangup', keyring: ring, callers })
    })
    io.out(`listening on ${service.url}\n`)
    if (!io.signal.aborted) await once(io.signal, 'abort')
    deaf?.()
    await service.close()
    await closeAws()
    return { exit: 0, json: undefined, text: '' }
  },
}

/** Name or ARN of a secret, where the option names one. */
function secretOf(option: string): string | undefined {
  if (/^arn:[a-z-]+:secretsmanager:/.test(option)) return option
  return option.startsWith('secret:') ? option.slice('secret:'.length) : undefined
}

function megabytes(number: number): number {
  if (number === 0 || (number >= 2 && number <= 1024)) return Math.floor(number * 2 ** 20)
  throw new PseudolakeError('options/invalid', '--cache-mb: expected 0, or a number from 2 to 1024', {
    option: 'cache-mb',
  })
}

function minutes(number: number): number {
  if (number >= 0.1 && number <= 1440) return number * 60_000
  throw new PseudolakeError('options/invalid', '--cache-minutes: expected a number from 0.1 to 1440', {
    option: 'cache-minutes',
  })
}

async function readTls(cert: string | undefined, key: string | undefined, cwd: string) {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined)
    throw new PseudolakeError('options/invalid', '--tls-cert and --tls-key: expected both')
  const read = (file: string) =>
    readFile(resolve(cwd, file)).catch((error: NodeJS.ErrnoException) => {
      throw new PseudolakeError('input/not-found', `${file}: can't be read (${error.code ?? 'unknown error'})`, {
        file,
      })
    })
  return { cert: await read(cert), key: await read(key) }
}

function portOf(port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new PseudolakeError('options/invalid', '--port: expected an integer from 0 to 65535', { option: 'port' })
}
