/** A store of tests: its client, and the adapter over it. */

import { Agent } from 'node:http'
import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { systemClock } from '../../../lib/core/clock.ts'
import { S3_COMPATIBLE_CLIENT_SETTINGS, type S3StorageOptions } from '../../../lib/storage/s3/options.ts'
import { s3Storage } from '../../../lib/storage/s3/s3.ts'
import type { Storage } from '../../../lib/storage/storage.ts'

export const CREDENTIALS = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' }
export const REGION = 'eu-west-1'

export function s3Client(endpoint: string, more: object = {}): S3Client {
  return new S3Client({
    ...S3_COMPATIBLE_CLIENT_SETTINGS,
    endpoint,
    region: REGION,
    credentials: CREDENTIALS,
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: 64 }) }),
    ...more,
  })
}

export function s3Over(endpoint: string, options: Partial<S3StorageOptions> = {}): Storage {
  return s3Storage({ client: s3Client(endpoint), clock: systemClock(), random: Math.random, ...options })
}
