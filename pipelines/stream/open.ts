/** From a stream's configuration to what its run works with: the places, as the identities that are named for them. */
import type { Aws } from '../../lib/aws/clients.ts'
import type { DataKeys } from '../../lib/aws/kms.ts'
import type { AwsSettings } from '../../lib/aws/settings.ts'
import type { Clock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { awsOf, lazyAws, type PlacesOutside } from '../aws.ts'
import type { TargetOutside } from '../batch/target.ts'
import { jobCatalog } from '../catalog.ts'
import type { StreamSettings } from '../config/native.ts'
import { connectService } from '../service.ts'
import { outputStorage } from '../storages.ts'
import { asBatch, type StreamJob } from './job.ts'
import type { StreamOutside } from './outside.ts'
import { kmsSealer } from './quarantine/kms.ts'
import type { Sealer } from './quarantine/sealed.ts'
import { x25519Sealer } from './quarantine/x25519.ts'

export interface OpenOutside {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly clock: Clock
  readonly random: () => number
  readonly randomBytes: RandomBytes
  readonly uuid: () => string
  readonly signal: AbortSignal
  readonly say: (note: string) => void
}

/** The table of a stream, and what lies beside it. */
export interface StreamPlaces extends TargetOutside {
  readonly storage: Storage
  /** Asked for when it is needed: what only looks at the table needs no stream. */
  readonly kinesis: () => Promise<Kinesis>
  readonly connect: StreamOutside['connect']
  /** KMS as who writes the quarantine, where the key is: an ARN says it. */
  readonly sealingKeys?: (keyId: string) => DataKeys
  /** KMS as the environment's own identity, that of who opens: a role of the configuration is the consumer's, which may not. */
  readonly openingKeys?: (keyArn: string) => DataKeys
}

/** Opens the places for as long as `work` takes. @throws PseudolakeError `config/invalid`, and what `work` throws */
export async function withPlaces<T>(
  settings: StreamSettings,
  job: StreamJob,
  outside: OpenOutside,
  work: (places: StreamPlaces) => Promise<T>,
): Promise<T> {
  const { env, clock, random, uuid, signal } = outside
  const batch = asBatch(settings)
  const { aws, close } = lazyAws(env)
  const places: PlacesOutside = { env, clock, random, uuid, signal, aws }
  try {
    const catalog = await jobCatalog(batch, job.table.warehouse, places)
    const vended = settings.output.catalog.access === 'vended'
    return await work({
      catalog,
      storage: vended ? catalog.storage : outputStorage(batch, places),
      kinesis: async () => {
        const [{ awsKinesis }, clients] = await Promise.all([import('../../lib/kinesis/aws.ts'), aws()])
        const identity = awsOf(batch, 'input')
        const [client, sign] = await Promise.all([clients.kinesis(identity), clients.sign(identity, 'kinesis')])
        return awsKinesis({ client, sign })
      },
      sealingKeys: (keyId) => dataKeys(aws, awsOf(batch, 'output'), keyId),
      openingKeys: (arn) => dataKeys(aws, { endpoints: awsOf(batch, 'output').endpoints }, arn),
      connect: () => connectService(batch, { ...outside, aws }),
      clock,
      random,
      uuid,
      signal,
    })
  } finally {
    await close()
  }
}

/** The API takes the name; an ARN ends with it. */
export function streamNameOf({ stream }: StreamJob): string {
  return stream.slice(stream.lastIndexOf('/') + 1)
}

function dataKeys(aws: () => Promise<Aws>, settings: AwsSettings, keyId: string): DataKeys {
  const keys = async () => {
    const [{ kmsDataKeys }, { regionOfArn }, clients] = await Promise.all([
      import('../../lib/aws/kms.ts'),
      import('../../lib/aws/settings.ts'),
      aws(),
    ])
    return kmsDataKeys(() => clients.kms({ ...settings, region: regionOfArn(keyId) ?? settings.region }))
  }
  return {
    generate: async (...given) => (await keys()).generate(...given),
    unwrap: async (...given) => (await keys()).unwrap(...given),
  }
}

/**
 * Who seals bad records; undefined without a quarantine.
 * @param places asked for KMS where the recipient is a key of it
 * @throws PseudolakeError `config/invalid`
 */
export function sealerOf(job: StreamJob, { sealingKeys }: Pick<StreamPlaces, 'sealingKeys'> = {}): Sealer | undefined {
  const { quarantine, table } = job
  if (!quarantine) return undefined
  if ('x25519' in quarantine.recipient) return x25519Sealer(quarantine.recipient.x25519)
  const { kmsKeyId } = quarantine.recipient
  if (!sealingKeys)
    throw new PseudolakeError('config/invalid', 'quarantine.kms_key_id: there is no KMS to ask', {
      key: 'quarantine.kms_key_id',
    })
  const place = { table: `${table.database}.${table.table}`, stream: streamNameOf(job) }
  return kmsSealer(kmsKeyId, place, sealingKeys(kmsKeyId))
}
