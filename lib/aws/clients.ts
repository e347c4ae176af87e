/**
 * The SDK's clients, made when they are first asked for, and one for all who ask with equal settings. An input, a table and a service may
 * belong to three accounts: each comes with settings of its own.
 *
 * Nothing of the SDK is loaded before: a run on local files has no use for it.
 */
import type { GlueClient } from '@aws-sdk/client-glue'
import type { KinesisClient } from '@aws-sdk/client-kinesis'
import type { KMSClient } from '@aws-sdk/client-kms'
import type { LambdaClient } from '@aws-sdk/client-lambda'
import type { S3Client } from '@aws-sdk/client-s3'
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { PseudolakeError } from '../core/errors.ts'
import { assumedRole, type CredentialProvider, defaultCredentials } from './credentials.ts'
import { type RequestHandler, requestHandler } from './handler.ts'
import { leaveLargeBodiesUnsigned } from './payload.ts'
import { AWS_SERVICES, type AwsService, type AwsSettings, type Env, endpointOf, regionOf } from './settings.ts'
import { type Sign, signer } from './sign.ts'

export interface AwsOptions {
  /** Regions, endpoints and proxies, where settings are silent; static keys too. The rest of the SDK reads the process's own. */
  readonly env: Env
}

export interface Aws {
  /** Tries once: the second of two conditional writes is refused for the first one's object. */
  s3(settings: AwsSettings): Promise<S3Client>
  /** A client of the caller's own, who closes it. @param as who its requests are made as, in the place of what the settings say */
  s3As(settings: AwsSettings, as: CredentialProvider): Promise<S3Client>
  /** Tries once: a commit that is tried again by the client can't be told from somebody else's. */
  glue(settings: AwsSettings): Promise<GlueClient>
  secretsManager(settings: AwsSettings): Promise<SecretsManagerClient>
  /** Tries once: who calls it has retries of his own. */
  lambda(settings: AwsSettings): Promise<LambdaClient>
  /** Tries once: the consumer and the producer of lib/kinesis pace their own retries. */
  kinesis(settings: AwsSettings): Promise<KinesisClient>
  kms(settings: AwsSettings): Promise<KMSClient>
  /** Signs requests (Signature Version 4) that are sent by others. @param service its signing name, `execute-api` say */
  sign(settings: AwsSettings, service: string): Promise<Sign>
  /** Who requests with these settings are made as; kept until shortly before they expire. */
  credentials(settings: AwsSettings): Promise<CredentialProvider>
  /** Ends all connections; clients made before fail. */
  close(): Promise<void>
}

interface Closable {
  destroy(): void
}

/** What clients of all services have in common; each adds what is its own. */
interface Common {
  readonly region: string
  readonly credentials: CredentialProvider
  readonly requestHandler: RequestHandler
  readonly endpoint?: string
}

/** Of a service other than AWS's, where nobody has named one: what S3-compatible stores take. */
const ANY_REGION = 'us-east-1'
const MAX_ATTEMPTS = 5

/**
 * @throws PseudolakeError (all of it) `config/invalid` for an endpoint that is none, and where no region is known; the clients
 *   `aws/no-credentials` and `aws/denied`, which their callers let through
 */
export function openAws({ env }: AwsOptions): Aws {
  const made = new Map<string, Promise<unknown>>()
  /** One for all clients, so that all share its connections. */
  let handling: Promise<RequestHandler> | undefined
  const handler = () => (handling ??= requestHandler(env))
  const own = defaultCredentials(env, handler, async () => regionOf({}, env))

  function once<T>(key: readonly unknown[], make: () => Promise<T>): Promise<T> {
    const name = JSON.stringify(key)
    const known = made.get(name) as Promise<T> | undefined
    if (known) return known
    const making = make()
    made.set(name, making)
    // What could not be made is tried again by who asks next.
    making.catch(() => made.delete(name))
    return making
  }

  function credentials(settings: AwsSettings): Promise<CredentialProvider> {
    const { roleArn, externalId, sessionName } = settings
    if (roleArn === undefined) return Promise.resolve(own)
    return once(['role', roleArn, externalId, sessionName, settings.region, settings.endpoints?.sts], async () => {
      const endpoint = endpointOf('sts', settings, env)
      const region = await knownRegion(settings, env, endpoint !== undefined)
      return assumedRole({ roleArn, externalId, sessionName, region, endpoint, handler: await handler() }, own)
    })
  }

  function client<T extends Closable>(
    service: AwsService,
    settings: AwsSettings,
    make: (common: Common) => Promise<T>,
  ): Promise<T> {
    const { region, roleArn, externalId, sessionName, endpoints } = settings
    return once([service, region, roleArn, externalId, sessionName, endpoints?.[service], endpoints?.sts], async () => {
      const endpoint = endpointOf(service, settings, env)
      return make({
        region: await knownRegion(settings, env, endpoint !== undefined),
        credentials: await credentials(settings),
        requestHandler: await handler(),
        ...(endpoint !== undefined && { endpoint }),
      })
    })
  }

  async function s3(common: Common): Promise<S3Client> {
    const { S3Client } = await import('@aws-sdk/client-s3')
    const made = new S3Client({
      ...common,
      // lib/storage/s3 tries again by itself, and tells of a bucket in another region: see its `S3_CLIENT_SETTINGS`.
      maxAttempts: 1,
      followRegionRedirects: false,
      // Its wait for a 100 costs a round trip a part, on a connection of its own.
      expectContinueHeader: false,
      ...(common.endpoint !== undefined && {
        forcePathStyle: true,
        // Not every store knows the checksums that the SDK would add by itself.
        ...(!env.AWS_REQUEST_CHECKSUM_CALCULATION && { requestChecksumCalculation: 'WHEN_REQUIRED' as const }),
        ...(!env.AWS_RESPONSE_CHECKSUM_VALIDATION && { responseChecksumValidation: 'WHEN_REQUIRED' as const }),
      }),
    })
    leaveLargeBodiesUnsigned(made)
    return made
  }

  return {
    s3: (settings) => client('s3', settings, s3),
    async s3As(settings, as) {
      const endpoint = endpointOf('s3', settings, env)
      return s3({
        region: await knownRegion(settings, env, endpoint !== undefined),
        credentials: as,
        requestHandler: await handler(),
        ...(endpoint !== undefined && { endpoint }),
      })
    },
    glue: (settings) =>
      client('glue', settings, async (common) => {
        const { GlueClient } = await import('@aws-sdk/client-glue')
        return new GlueClient({ ...common, maxAttempts: 1 })
      }),
    secretsManager: (settings) =>
      client('secretsmanager', settings, async (common) => {
        const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
        return new SecretsManagerClient({ ...common, maxAttempts: MAX_ATTEMPTS })
      }),
    lambda: (settings) =>
      client('lambda', settings, async (common) => {
        const { LambdaClient } = await import('@aws-sdk/client-lambda')
        return new LambdaClient({ ...common, maxAttempts: 1 })
      }),
    kinesis: (settings) =>
      client('kinesis', settings, async (common) => {
        const { KinesisClient } = await import('@aws-sdk/client-kinesis')
        return new KinesisClient({ ...common, maxAttempts: 1 })
      }),
    kms: (settings) =>
      client('kms', settings, async (common) => {
        const { KMSClient } = await import('@aws-sdk/client-kms')
        return new KMSClient({ ...common, maxAttempts: MAX_ATTEMPTS })
      }),
    async sign(settings, service) {
      // As the client's, where the SDK has one of that name.
      const known = AWS_SERVICES.find((one) => one === service)
      const elsewhere = known !== undefined && endpointOf(known, settings, env) !== undefined
      const region = await knownRegion(settings, env, elsewhere)
      return signer({ service, region, credentials: await credentials(settings) })
    },
    credentials,
    async close() {
      const all = await Promise.allSettled([...made.values()])
      made.clear()
      for (const one of all)
        if (one.status === 'fulfilled' && typeof (one.value as Partial<Closable>).destroy === 'function')
          (one.value as Closable).destroy()
      const opened = await handling?.catch(() => undefined)
      handling = undefined
      opened?.destroy()
    },
  }
}

/**
 * The region of settings or environment, else of the profile, else any where an endpoint takes its place.
 * @throws PseudolakeError `config/invalid`
 */
async function knownRegion(settings: AwsSettings, env: Env, elsewhere: boolean): Promise<string> {
  const region = regionOf(settings, env) ?? (await regionOfProfile())
  if (region !== undefined) return checkedRegion(region)
  if (elsewhere) return ANY_REGION
  throw new PseudolakeError(
    'config/invalid',
    'aws.region: not given, and neither is AWS_REGION nor a region of the profile',
    {
      key: 'aws.region',
      hint: 'Set aws.region, or AWS_REGION in the environment.',
    },
  )
}

/** A region becomes part of the host that is asked. */
function checkedRegion(region: string): string {
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(region)) return region
  throw new PseudolakeError('config/invalid', 'aws.region: expected a region such as eu-west-1', { key: 'aws.region' })
}

/** As every client of the SDK finds it: `region` of the profile in `~/.aws/config`. */
async function regionOfProfile(): Promise<string | undefined> {
  const { STSClient } = await import('@aws-sdk/client-sts')
  const client = new STSClient({})
  try {
    return await client.config.region()
  } catch {
    return undefined
  } finally {
    client.destroy()
  }
}
