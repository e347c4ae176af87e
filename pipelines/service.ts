/** From a configuration's `service` section to a client: the one place that chooses a transport. */
import { resolve } from 'node:path'
import type { KMSClient } from '@aws-sdk/client-kms'
import type { Aws } from '../lib/aws/clients.ts'
import type { Secrets } from '../lib/aws/secrets.ts'
import { bytesOf, overBytes } from '../lib/client/bytes.ts'
import { type Client, composeClient } from '../lib/client/compose.ts'
import type { Transport } from '../lib/client/pseudonymizer.ts'
import { serviceAddress } from '../lib/client/transports/address.ts'
import { renewed } from '../lib/client/transports/renewed.ts'
import type { Clock } from '../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../lib/core/errors.ts'
import type { RandomBytes } from '../lib/crypto/kernel.ts'
import { awsOf } from './aws.ts'
import type { BatchSettings } from './config/native.ts'

export interface ServiceOutside {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where a keyring's relative path starts. */
  readonly cwd: string
  readonly clock: Clock
  readonly random: () => number
  readonly randomBytes: RandomBytes
  /** Is told why the portable cipher serves where the fast one can't, and why threads don't. @default nobody */
  readonly say?: (note: string) => void
  /** Where a secret, a signature or a function is named; the caller closes it. @default one of its own, that lasts as long as the client */
  readonly aws?: () => Promise<Aws>
}

/** Of the memory a run may use, what the cache of pseudonyms gets. */
const CACHE_SHARE = 0.125

/**
 * @throws PseudolakeError `config/invalid` where the section names no service, or one that this version cannot speak to; `keyring/*`
 */
export async function connectService(settings: BatchSettings, outside: ServiceOutside): Promise<Client> {
  const { limits } = settings
  return composeClient(await transportOf(settings, outside), {
    maxIdentifiers: limits.max_identifiers,
    maxRequestBytes: limits.max_request_bytes,
    maxConcurrency: limits.max_concurrency,
    ...(limits.requests_per_second === undefined ? {} : { requestsPerSecond: limits.requests_per_second }),
    cacheBytes: cacheBytes(settings),
    clock: outside.clock,
    random: outside.random,
  })
}

/** Bytes of pseudonyms that a run keeps at most. */
export function cacheBytes(settings: BatchSettings): number {
  return Math.floor(settings.limits.memory_mb * 2 ** 20 * CACHE_SHARE)
}

/**
 * What can be said against the section without asking anybody, so that a run stops before it reads.
 * @throws PseudolakeError `config/invalid`
 */
export function requireService({ service }: BatchSettings, env: ServiceOutside['env']): void {
  const given = (['url', 'embedded', 'lambda'] as const).filter((key) => service[key] !== undefined)
  if (given.length !== 1)
    throw new PseudolakeError(
      'config/invalid',
      `service: expected one of url, embedded and lambda, got ${given.join(' and ') || 'none'}`,
      {
        key: 'service',
      },
    )
  if (service.auth !== undefined && service.url === undefined)
    throw new PseudolakeError('config/invalid', 'service.auth: iam signs requests to service.url, and there is none', {
      key: 'service.auth',
    })
  if (service.api_key !== undefined && service.embedded !== undefined)
    throw new PseudolakeError('config/invalid', 'service.api_key: an embedded service asks for none', {
      key: 'service.api_key',
    })
  const name = service.api_key?.env
  if (name !== undefined && !env[name])
    throw new PseudolakeError('config/invalid', `service.api_key.env: the environment variable ${name} is not set`, {
      key: 'service.api_key.env',
    })
  if (service.url === undefined) return
  serviceAddress(service.url, { allowHttp: service.allow_http })
  if (/\/reidentification\/*$/.test(service.url))
    throw new PseudolakeError('config/invalid', 'service.url: batch pseudonymizes, and this is the way back', {
      key: 'service.url',
      hint: 'Its last word must be pseudonymization.',
    })
}

/** Loads the one transport that serves: the others’ packages would be half of what a small run costs. */
async function transportOf(settings: BatchSettings, outside: ServiceOutside): Promise<Transport> {
  requireService(settings, outside.env)
  const { service } = settings
  const aws = await awsFor(settings, outside)
  try {
    const transport = service.embedded
      ? await embedded(settings, outside, aws)
      : service.lambda !== undefined
        ? await lambda(settings, outside, aws as AwsAccess)
        : await http(settings, outside, aws)
    return { ...transport, close: async () => void (await Promise.all([transport.close?.(), aws?.close()])) }
  } catch (error) {
    await aws?.close()
    throw error
  }
}

/** AWS as the `service` section sees it. */
interface AwsAccess {
  readonly clients: Aws
  readonly secrets: Secrets
  readonly kms: () => Promise<KMSClient>
  close(): Promise<void>
}

/** Undefined where the section names nothing of AWS: its packages are not loaded then. */
async function awsFor(settings: BatchSettings, { env, clock, aws }: ServiceOutside): Promise<AwsAccess | undefined> {
  const { auth, lambda, api_key: apiKey, embedded } = settings.service
  const secret = secretNameOf(embedded?.keyring) ?? apiKey?.secret
  if (auth === undefined && lambda === undefined && secret === undefined) return undefined
  const [{ openAws }, { openSecrets }, { regionOfArn }] = await Promise.all([
    import('../lib/aws/clients.ts'),
    import('../lib/aws/secrets.ts'),
    import('../lib/aws/settings.ts'),
  ])
  const clients = aws ? await aws() : openAws({ env })
  const own = awsOf(settings, 'service')
  // An ARN says where its secret is; that is the configuration's word, and goes before the environment's.
  const region = own.region ?? (secret === undefined ? undefined : regionOfArn(secret))
  return {
    clients,
    secrets: openSecrets({ client: () => clients.secretsManager({ ...own, region }), clock }),
    kms: () => clients.kms({ ...own, region }),
    close: async () => (aws ? undefined : clients.close()),
  }
}

async function embedded(
  { service }: BatchSettings,
  outside: ServiceOutside,
  aws: AwsAccess | undefined,
): Promise<Transport> {
  const { keyring, kernel } = service.embedded as NonNullable<BatchSettings['service']['embedded']>
  const [{ embeddedTransport }, { loadKeyring }] = await Promise.all([
    import('./embedded.ts'),
    import('../service/keys/file.ts'),
  ])
  const load = async () => {
    if (typeof keyring === 'string') return loadKeyring(resolve(outside.cwd, keyring))
    const [{ parseSecretKeyring }, { unsealedText }, { kmsDataKeys }] = await Promise.all([
      import('../service/keys/secret.ts'),
      import('../service/keys/kms.ts'),
      import('../lib/aws/kms.ts'),
    ])
    const { secrets, kms } = aws as AwsAccess
    const text = await unsealedText(await secrets.get(keyring.secret), () => kmsDataKeys(kms))
    return parseSecretKeyring(text, keyring.secret)
  }
  return embeddedTransport({ ...outside, keyring: load, kernel })
}

async function lambda(settings: BatchSettings, outside: ServiceOutside, aws: AwsAccess): Promise<Transport> {
  const arn = settings.service.lambda as string
  const [{ lambdaTransport }, { lambdaInvoker }, { regionOfArn }] = await Promise.all([
    import('../lib/client/transports/lambda.ts'),
    import('../lib/aws/invoke.ts'),
    import('../lib/aws/settings.ts'),
  ])
  const own = awsOf(settings, 'service')
  const client = await aws.clients.lambda({ ...own, region: own.region ?? regionOfArn(arn) })
  const key = await apiKeyOf(settings, outside.env, aws)
  return withRenewal(
    lambdaTransport({
      name: arn,
      invoke: lambdaInvoker(arn, client),
      ...(key && { apiKey: key.get }),
      purpose: settings.service.purpose,
      clock: outside.clock,
    }),
    key,
  )
}

async function http(settings: BatchSettings, outside: ServiceOutside, aws: AwsAccess | undefined): Promise<Transport> {
  const { httpTransport } = await import('../lib/client/transports/http.ts')
  const { service, limits } = settings
  const key = await apiKeyOf(settings, outside.env, aws)
  const signed = service.auth === undefined ? undefined : await signing(settings, (aws as AwsAccess).clients)
  const transport = httpTransport({
    url: service.url as string,
    apiKey: key?.get,
    purpose: service.purpose,
    sign: signed?.sign,
    allowHttp: service.allow_http,
    maxConnections: limits.max_concurrency,
    env: outside.env,
    clock: outside.clock,
  })
  const renewing = withRenewal(transport, key)
  return signed === undefined ? renewing : hinted(renewing, signed.action)
}

/** Who signs for a service behind IAM: a function URL's host says so, and its region; anything else is taken for API Gateway. */
async function signing(settings: BatchSettings, clients: Aws) {
  const host = URL.parse(settings.service.url as string)?.hostname ?? ''
  const own = awsOf(settings, 'service')
  const ofFunction = /\.lambda-url\.([a-z0-9-]+)\.on\.aws$/.exec(host)
  const ofGateway = /\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/.exec(host)
  const region = (ofFunction ?? ofGateway)?.[1] ?? own.region
  return {
    sign: await clients.sign({ ...own, region }, ofFunction ? 'lambda' : 'execute-api'),
    action: ofFunction ? 'lambda:InvokeFunctionUrl' : 'execute-api:Invoke',
  }
}

/** A refusal with the action that IAM was asked about. */
function hinted(transport: Transport, action: string): Transport {
  const calling = bytesOf(transport)
  return {
    ...transport,
    ...overBytes((request) =>
      calling(request).catch((error: unknown) => {
        if (!isPseudolakeError(error, 'service/denied')) throw error
        throw new PseudolakeError(error.code, `${error.message}: ${action} may not be allowed`, {
          ...error.context,
          action,
          hint: `Grant ${action} on the service to the identity of service.aws; docs/aws.md has the policy.`,
        })
      }),
    ),
  }
}

function withRenewal(transport: Transport, key: ApiKey | undefined): Transport {
  const { renew } = key ?? {}
  return key && renew ? renewed(transport, { get: key.get, renew }) : transport
}

interface ApiKey {
  get(): Promise<string>
  /** Missing where the key can't change: a variable of the environment. */
  renew?(): Promise<string>
}

/** @throws PseudolakeError `secret/*` where the key is a secret: before anything else is asked */
async function apiKeyOf(
  { service }: BatchSettings,
  env: ServiceOutside['env'],
  aws: AwsAccess | undefined,
): Promise<ApiKey | undefined> {
  const { api_key: source } = service
  if (source?.secret !== undefined) {
    const { secretApiKey } = await import('./api-key.ts')
    const key = secretApiKey(source.secret, (aws as AwsAccess).secrets)
    await key.get()
    return key
  }
  if (source?.env === undefined) return undefined
  const value = (env[source.env] as string).trim()
  return { get: async () => value }
}

function secretNameOf(keyring: string | { readonly secret: string } | undefined): string | undefined {
  return typeof keyring === 'object' ? keyring.secret : undefined
}
