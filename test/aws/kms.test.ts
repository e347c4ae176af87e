import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { kmsDataKeys } from '../../lib/aws/kms.ts'
import { awsError, type Behave, fakeAws } from '../helpers/aws.ts'

const ARN = 'arn:aws:kms:eu-west-1:123456789012:key/0123'

async function keys(behave: Behave) {
  const fake = await fakeAws(behave)
  const aws = openAws({ env: fake.env })
  onTestFinished(() => aws.close())
  return { fake, keys: kmsDataKeys(() => aws.kms({})) }
}

test('a data key is asked for as a keyring’s, and comes with the ARN of the key that wraps it', async () => {
  const plain = randomBytes(32)
  const made = await keys(({ operation }) => ({
    body: {
      Plaintext: plain.toString('base64'),
      ...(operation === 'GenerateDataKey' && { CiphertextBlob: 'd3JhcHBlZA==' }),
      KeyId: ARN,
    },
  }))
  const { plain: got, wrapped, keyArn } = await made.keys.generate('alias/keys')
  expect([Buffer.from(got), Buffer.from(wrapped).toString(), keyArn]).toEqual([plain, 'wrapped', ARN])
  expect(Buffer.from(await made.keys.unwrap(wrapped, ARN))).toEqual(plain)
  const EncryptionContext = { purpose: 'pseudolake keyring' }
  expect(made.fake.received.map(({ service, json }) => [service, json])).toEqual([
    ['kms', { KeyId: 'alias/keys', KeySpec: 'AES_256', EncryptionContext }],
    ['kms', { KeyId: ARN, CiphertextBlob: 'd3JhcHBlZA==', EncryptionContext }],
  ])
})

test.each([
  ['AccessDeniedException', 400, 'secret/denied', 'kms:Decrypt is not allowed'],
  ['NotFoundException', 400, 'secret/not-found', 'none of that name'],
  ['InvalidCiphertextException', 400, 'secret/invalid', 'not one that it wrapped'],
  ['IncorrectKeyException', 400, 'secret/invalid', 'not one that it wrapped'],
  ['DisabledException', 400, 'secret/denied', 'disabled'],
  ['UnrecognizedClientException', 400, 'aws/no-credentials', 'not valid'],
  ['KMSInternalException', 400, 'secret/unavailable', 'could not be asked'],
])('what KMS refuses is told by whose turn it is: %s', async (name, status, code, says) => {
  const made = await keys(() => awsError(name, status, 'PLANTED-7f3a'))
  const error = await made.keys.unwrap(Buffer.from('wrapped'), ARN).then(
    () => expect.unreachable(),
    (e: Error) => e,
  )
  expect(error).toMatchObject({ code, message: expect.stringContaining(says) })
  expect(error.message).toContain(ARN)
  expect(JSON.stringify([error.message, error])).not.toContain('PLANTED')
})
