/** A store of tests: its client, and the adapter over it. */

import { S3Client } from '@aws-sdk/client-s3'
import { type RequestHandler, requestHandler } from '../../../lib/aws/handler.ts'
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
    requestHandler: new Handler(),
    ...more,
  })
}

/** Of commands, without a proxy. */
class Handler implements RequestHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #made = requestHandler({})
  handle: RequestHandler['handle'] = async (...asked) => (await this.#made).handle(...asked)
  httpHandlerConfigs = () => ({})
  updateHttpClientConfig() {}
  destroy() {
    void this.#made.then((made) => made.destroy())
  }
}

export function s3Over(endpoint: string, options: Partial<S3StorageOptions> = {}): Storage {
  return s3Storage({ client: s3Client(endpoint), clock: systemClock(), random: Math.random, ...options })
}
