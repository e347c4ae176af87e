import { expect, test } from 'vitest'
import { endpointOf, mergeAws, regionOf, regionOfArn } from '../../lib/aws/settings.ts'

test('a section goes over the job key by key, and a role takes its external id and session name along', () => {
  const base = {
    region: 'eu-west-1',
    roleArn: 'arn:aws:iam::111111111111:role/a',
    externalId: 'of-a',
    sessionName: 'a',
    endpoints: { s3: 'http://s3', sts: 'http://sts' },
  }
  expect(mergeAws(base, {})).toEqual(base)
  expect(mergeAws(base, undefined)).toEqual(base)
  expect(mergeAws(base, { roleArn: 'arn:aws:iam::222222222222:role/b', endpoints: { s3: 'http://other' } })).toEqual({
    region: 'eu-west-1',
    roleArn: 'arn:aws:iam::222222222222:role/b',
    endpoints: { s3: 'http://other', sts: 'http://sts' },
  })
  expect(mergeAws(base, { region: 'us-east-1' })).toMatchObject({ region: 'us-east-1', externalId: 'of-a' })
  expect(mergeAws(undefined, undefined)).toEqual({})
})

test('an endpoint is the configuration’s, then the service’s variable, then the one for all', () => {
  const env = { AWS_ENDPOINT_URL: 'http://all:1', AWS_ENDPOINT_URL_SECRETS_MANAGER: 'http://secrets:2' }
  expect(endpointOf('s3', { endpoints: { s3: 'https://mine' } }, env)).toBe('https://mine')
  expect(endpointOf('secretsmanager', {}, env)).toBe('http://secrets:2')
  expect(endpointOf('glue', {}, env)).toBe('http://all:1')
  expect(endpointOf('glue', {}, { ...env, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' })).toBeUndefined()
  expect(
    endpointOf('glue', { endpoints: { glue: 'https://mine' } }, { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }),
  ).toBe('https://mine')
  expect(endpointOf('sts', {}, {})).toBeUndefined()
})

test.each(['ftp://host', 'host:9000', 'https://user:PASSWORD@host', 'https://host?token=PASSWORD'])(
  'an endpoint is an http URL without anything secret in it: not %s',
  (url) => {
    const failing = () => endpointOf('s3', { endpoints: { s3: url } }, {})
    expect(failing).toThrow(/aws\.endpoints\.s3: expected an http or https URL/)
    expect(failing).not.toThrow(/PASSWORD/)
  },
)

test('a region is the configuration’s, then AWS_REGION, then AWS_DEFAULT_REGION', () => {
  const env = { AWS_REGION: 'eu-west-1', AWS_DEFAULT_REGION: 'eu-west-2' }
  expect(regionOf({ region: 'us-east-1' }, env)).toBe('us-east-1')
  expect(regionOf({}, env)).toBe('eu-west-1')
  expect(regionOf({}, { AWS_REGION: '', AWS_DEFAULT_REGION: 'eu-west-2' })).toBe('eu-west-2')
  expect(regionOf({}, {})).toBeUndefined()
})

test('an ARN names its region, where it is one', () => {
  expect(regionOfArn('arn:aws:lambda:eu-central-1:123456789012:function:f')).toBe('eu-central-1')
  expect(regionOfArn('arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x-abcdef')).toBe('cn-north-1')
  expect(regionOfArn('arn:aws:iam::123456789012:role/x')).toBeUndefined()
  expect(regionOfArn('my-secret')).toBeUndefined()
})
