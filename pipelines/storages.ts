/** Where a job reads and writes, each place asked as the identity that its configuration names for it. */
import { type AwsSettings, endpointOf } from '../lib/aws/settings.ts'
import { storageLocation } from '../lib/iceberg/locations.ts'
import { openStorage } from '../lib/storage/open.ts'
import type { S3StorageOptions } from '../lib/storage/s3/options.ts'
import type { ObjectWriter, Storage } from '../lib/storage/storage.ts'
import { awsOf, type PlacesOutside } from './aws.ts'
import type { BatchJob } from './batch/job.ts'
import { fixedPart } from './batch/overlap.ts'
import type { BatchSettings } from './config/native.ts'

/** Of any location, asked as `identity`. */
export function storageAs(
  identity: AwsSettings,
  { env, clock, random, signal, aws }: Omit<PlacesOutside, 'uuid'>,
  more: Pick<S3StorageOptions, 'requestPayer' | 'encryption'> = {},
): Storage {
  return openStorage({
    s3: {
      client: async () => (await aws()).s3(identity),
      clock,
      random,
      signal,
      ...more,
      // A store that is not AWS's is asked whether it keeps conditions, on which commits rest.
      proveConditions: endpointOf('s3', identity, env) !== undefined,
    },
  })
}

/**
 * Inputs and everything else, by location. One storage where both sides are asked in the same way, so that a store can copy from one to the
 * other by itself.
 * @param output the catalog's, where it has credentials of its own. @default that of the output's identity
 */
export function jobStorage(job: BatchJob, outside: Omit<PlacesOutside, 'uuid'>, output?: Storage): Storage {
  const { settings } = job
  const { requester_pays: requestPayer } = settings.input
  const [from, to] = [awsOf(settings, 'input'), awsOf(settings, 'output')]
  const encryption = encryptionOf(settings)
  const same = JSON.stringify(from) === JSON.stringify(to)
  if (same && !output) return storageAs(to, outside, { requestPayer, ...(encryption && { encryption }) })
  const inputs = storageAs(from, outside, { requestPayer })
  return bySide(job, inputs, output ?? outputStorage(settings, outside))
}

/** Of the table and its ledgers. */
export function outputStorage(settings: BatchSettings, outside: Omit<PlacesOutside, 'uuid'>): Storage {
  const encryption = encryptionOf(settings)
  return storageAs(awsOf(settings, 'output'), outside, encryption && { encryption })
}

/** Which storage a location is asked of: a job's inputs and its table never lie inside each other (batch/overlap.ts). */
function bySide({ input, state }: BatchJob, inputs: Storage, outputs: Storage): Storage {
  const root = fixedPart(input)
  const below = root.endsWith('/') ? root : `${root}/`
  const at = (location: string): Storage => {
    const place = storageLocation(location)
    const isInput = place === root || place === input || place.startsWith(below)
    return isInput && place !== state && !place.startsWith(`${state}/`) ? inputs : outputs
  }
  return {
    stat: (location) => at(location).stat(location),
    read: (location, options) => at(location).read(location, options),
    create: (location, bytes) => at(location).create(location, bytes),
    replace: (location, bytes) => at(location).replace(location, bytes),
    write: async (location) => uncopying(await at(location).write(location)),
    list: (prefix) => at(prefix).list(prefix),
    async *unfinished(prefix) {
      yield* at(prefix).unfinished?.(prefix) ?? []
    },
    reads: (location) => at(location).reads?.(location),
    move: (from, to) => (at(from) === at(to) ? at(from).move?.(from, to) : undefined),
    delete: (location) => at(location).delete(location),
  }
}

/** Copying takes one identity that may read here and write there. */
function uncopying(writer: ObjectWriter): ObjectWriter {
  return {
    get bytes() {
      return writer.bytes
    },
    write: (bytes) => writer.write(bytes),
    close: () => writer.close(),
    abort: () => writer.abort(),
  }
}

function encryptionOf({ output }: BatchSettings): S3StorageOptions['encryption'] {
  if (output.encryption === undefined) return undefined
  const { type, kms_key_id: keyId, bucket_key: bucketKey } = output.encryption
  if (type === 'AES256') return { type }
  return { type, ...(keyId !== undefined && { keyId }), ...(bucketKey !== undefined && { bucketKey }) }
}
