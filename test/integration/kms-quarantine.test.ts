/** A quarantine's data keys where a server of others makes them: moto's KMS. */
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { expect, onTestFinished } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { kmsDataKeys } from '../../lib/aws/kms.ts'
import { kmsOpener, kmsSealer } from '../../pipelines/stream/quarantine/kms.ts'
import { KEYS as CREDENTIALS } from '../helpers/aws.ts'
import { motoGlue } from '../helpers/catalog-servers.ts'
import { testWith } from '../helpers/interop.ts'

const REGION = 'eu-west-1'
const ABOUT = { job: 'j', shard: 'shardId-000000000000', first: '1', last: '2', records: 2 }

testWith(
  'moto',
  'what is sealed by an alias is opened by the key’s ARN, in its own context and in no other',
  async () => {
    const moto = await motoGlue()
    onTestFinished(() => moto.stop())
    const aws = openAws({ env: { ...CREDENTIALS, AWS_REGION: REGION, AWS_ENDPOINT_URL: moto.url } })
    const kms = new KMSClient({
      endpoint: moto.url,
      region: REGION,
      credentials: { accessKeyId: CREDENTIALS.AWS_ACCESS_KEY_ID, secretAccessKey: CREDENTIALS.AWS_SECRET_ACCESS_KEY },
    })
    onTestFinished(async () => {
      kms.destroy()
      await aws.close()
    })
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}))
    const keyId = KeyMetadata?.KeyId as string
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/quarantine', TargetKeyId: keyId }))
    const keys = kmsDataKeys(() => aws.kms({}))
    const sealer = kmsSealer('alias/quarantine', { table: 'db.t', stream: 's' }, keys)
    await sealer.ready?.()
    const sealed = Buffer.from(await sealer.seal(ABOUT, Buffer.from('records')))
    const asked: string[] = []
    const opener = kmsOpener((arn) => {
      asked.push(arn)
      return keys
    })
    expect(await opener.open(sealed, 'x')).toEqual({ about: ABOUT, plain: Buffer.from('records') })
    expect(asked).toEqual([KeyMetadata?.Arn])
    const unreadable = { code: 'quarantine/unreadable', cause: { code: 'secret/invalid' } }
    for (const [from, to] of [
      ['"shard":"shardId-000000000000"', '"shard":"shardId-000000000001"'],
      ['"table":"db.t"', '"table":"db.u"'],
    ] as const) {
      const changed = Buffer.from(sealed.toString('latin1').replace(from, to), 'latin1')
      expect(changed.equals(sealed)).toBe(false)
      await expect(opener.open(changed, 'x')).rejects.toMatchObject(unreadable)
    }
  },
  60_000,
)
