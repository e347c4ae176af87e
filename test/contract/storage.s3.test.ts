import { randomUUID } from 'node:crypto'
import { afterAll } from 'vitest'
import { interop } from '../helpers/interop.ts'
import { type FakeS3, fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { type Versitygw, versitygw } from '../helpers/s3/versitygw.ts'
import { storageContract } from './storage.suite.ts'

let fake: Promise<FakeS3> | undefined
let real: Promise<Versitygw> | undefined
afterAll(async () => {
  await (await fake)?.close()
  await (await real)?.stop()
})

storageContract(
  's3, a fake',
  async () => {
    fake ??= fakeS3(['bucket'])
    return { storage: s3Over((await fake).endpoint), root: `s3://bucket/${randomUUID()}` }
  },
  { hidden: true },
)

storageContract(
  's3, versitygw',
  async () => {
    real ??= versitygw('bucket')
    return { storage: s3Over((await real).endpoint), root: `s3://bucket/${randomUUID()}` }
  },
  { hidden: true, presence: interop('versitygw') },
)
