/** What an `aws` section of a configuration says, and what the environment says where it is silent. Pure. */
import { PseudolakeError } from '../core/errors.ts'

export const AWS_SERVICES = ['s3', 'glue', 'secretsmanager', 'kinesis', 'sts', 'lambda', 'kms'] as const
export type AwsService = (typeof AWS_SERVICES)[number]

export interface AwsSettings {
  readonly region?: string | undefined
  /** Assumed with what the default chain finds. */
  readonly roleArn?: string | undefined
  readonly externalId?: string | undefined
  /** Name of the role's session, as CloudTrail shows it. @default pseudolake */
  readonly sessionName?: string | undefined
  readonly endpoints?: Readonly<Partial<Record<AwsService, string | undefined>>> | undefined
}

export type Env = Readonly<Record<string, string | undefined>>

/** The second half of `AWS_ENDPOINT_URL_…`, as the SDKs spell it. */
const ENDPOINT_VARIABLES: Readonly<Record<AwsService, string>> = {
  s3: 'S3',
  glue: 'GLUE',
  secretsmanager: 'SECRETS_MANAGER',
  kinesis: 'KINESIS',
  sts: 'STS',
  lambda: 'LAMBDA',
  kms: 'KMS',
}

/**
 * A section's settings over those of the whole job, key by key. A role comes with its external id and session name: those of another role
 * say nothing about it.
 */
export function mergeAws(base: AwsSettings = {}, over: AwsSettings = {}): AwsSettings {
  const ofRole = over.roleArn === undefined ? base : {}
  const roleArn = over.roleArn ?? base.roleArn
  const externalId = over.externalId ?? ofRole.externalId
  const sessionName = over.sessionName ?? ofRole.sessionName
  const endpoints = Object.fromEntries(
    AWS_SERVICES.flatMap((service) => {
      const url = over.endpoints?.[service] ?? base.endpoints?.[service]
      return url === undefined ? [] : [[service, url] as const]
    }),
  )
  const region = over.region ?? base.region
  return {
    ...(region !== undefined && { region }),
    ...(roleArn !== undefined && { roleArn }),
    ...(externalId !== undefined && { externalId }),
    ...(sessionName !== undefined && { sessionName }),
    ...(Object.keys(endpoints).length > 0 && { endpoints }),
  }
}

/**
 * Where a service is asked instead of at AWS: the configuration, then the SDK's variables (`AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`,
 * none with `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true`).
 * @throws PseudolakeError `config/invalid` for what is no http or https URL; it is not repeated where it may hold a password
 */
export function endpointOf(service: AwsService, settings: AwsSettings, env: Env): string | undefined {
  const configured = settings.endpoints?.[service]
  if (configured !== undefined) return checkedUrl(configured, `aws.endpoints.${service}`)
  if (env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS?.toLowerCase() === 'true') return undefined
  for (const name of [`AWS_ENDPOINT_URL_${ENDPOINT_VARIABLES[service]}`, 'AWS_ENDPOINT_URL'])
    if (env[name]) return checkedUrl(env[name], name)
  return undefined
}

/** The region of the configuration, else the environment's; undefined leaves it to the profile. */
export function regionOf(settings: AwsSettings, env: Env): string | undefined {
  return settings.region ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || undefined)
}

/** The region that an ARN names; undefined where it names none, and for what is no ARN. */
export function regionOfArn(arn: string): string | undefined {
  return /^arn:[a-z0-9-]+:[a-z0-9-]+:([a-z0-9-]+):/.exec(arn)?.[1]
}

function checkedUrl(text: string, key: string): string {
  const url = URL.parse(text)
  const plain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (plain && (url.protocol === 'https:' || url.protocol === 'http:')) return text
  throw new PseudolakeError(
    'config/invalid',
    `${key}: expected an http or https URL without user, password and query, got a text of ${text.length} characters`,
    { key },
  )
}
