/** The SDK's client and the port over it, for an endpoint on loopback. */
import { KinesisClient } from '@aws-sdk/client-kinesis'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { signer } from '../../../lib/aws/sign.ts'
import { awsKinesis } from '../../../lib/kinesis/aws.ts'
import type { Kinesis } from '../../../lib/kinesis/kinesis.ts'

export const REGION = 'eu-west-1'
/** As test/helpers/aws.ts has them. */
const CREDENTIALS = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' }

export function clientOf(url: string): KinesisClient {
  return new KinesisClient({
    endpoint: url,
    region: REGION,
    credentials: CREDENTIALS,
    maxAttempts: 1,
    // As lib/aws has it: the client's own speaks HTTP/2 only.
    requestHandler: new NodeHttpHandler({ httpAgent: { keepAlive: true, maxSockets: 64 } }),
  })
}

/** The port over an SDK client of an endpoint. */
export function kinesisAt(url: string): Kinesis {
  const signing = signer({ service: 'kinesis', region: REGION, credentials: async () => CREDENTIALS })
  return awsKinesis({ client: clientOf(url), sign: async (request) => (await signing)(request) })
}
