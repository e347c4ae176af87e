/** Every connection goes through the proxy of the environment and trusts the authority that is added to Node's. */
import { expect } from 'vitest'
import { type AwsLake, awsLake, originalConfig } from '../helpers/aws-lake.ts'
import { pseudolake } from '../helpers/cli.ts'
import { front } from '../helpers/front.ts'
import { testWith } from '../helpers/interop.ts'
import { restFake } from '../helpers/rest-fake.ts'

const HOSTS = ['api.lake.test', 'glue.lake.test', 's3.lake.test', 'secrets.lake.test']

async function locked(lake: AwsLake) {
  await lake.put('vehicles/a.parquet', `select 'VIN' || (i % 100) as vin, i as n from range(1000) r(i)`)
  const network = await front({
    's3.lake.test': lake.store.endpoint,
    'glue.lake.test': lake.glue.url,
    'secrets.lake.test': lake.aws.url,
    'api.lake.test': new URL(lake.endpoint).origin,
  })
  const config = lake.config(originalConfig({ endpoint: 'api.lake.test/Dev/pseudonymization' }))
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = lake.env
  const env: Record<string, string> = {
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    AWS_ENDPOINT_URL_S3: 'https://s3.lake.test',
    AWS_ENDPOINT_URL_GLUE: 'https://glue.lake.test',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: 'https://secrets.lake.test',
    HTTPS_PROXY: network.proxy,
    NODE_EXTRA_CA_CERTS: network.authority,
  }
  const batch = async (more: Record<string, string | undefined> = {}) => {
    const all = Object.fromEntries(
      Object.entries({ ...env, ...more }).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
    const { code, stdout, stderr } = await pseudolake(['batch', '--config', config, '--json'], { env: all })
    return { code, said: stdout + stderr, json: JSON.parse(stdout) }
  }
  return { network, batch, config, env }
}

testWith('versitygw', 'S3, Glue, Secrets Manager and the service are asked through the proxy', async () => {
  const lake = await awsLake()
  const { network, batch } = await locked(lake)
  const { json } = await batch()
  expect(json).toMatchObject({ status: 'done', rows: 1000 })
  const hosts = new Set(network.connected.map(({ host }) => host.replace(':443', '')))
  expect([...hosts].sort()).toEqual(HOSTS)
  expect([...network.asked].sort()).toEqual(HOSTS)
})

testWith('versitygw', 'a proxy’s password is given to the proxy, and shown to nobody', async () => {
  const lake = await awsLake()
  const { network, batch } = await locked(lake)
  const proxy = network.proxy.replace('http://', 'http://me:PLANTED-7f3a@')
  const good = await batch({ HTTPS_PROXY: undefined, https_proxy: proxy })
  expect(good.json).toMatchObject({ status: 'done' })
  const expected = `Basic ${Buffer.from('me:PLANTED-7f3a').toString('base64')}`
  expect(new Set(network.connected.map(({ authorization }) => authorization))).toEqual(new Set([expected]))
  const nowhere = await batch({ HTTPS_PROXY: proxy.replace(/:\d+$/, ':9') })
  expect(nowhere.code).not.toBe(0)
  const bad = await batch({ HTTPS_PROXY: 'PLANTED-7f3a is no URL' })
  expect([bad.code, bad.json.error.code]).toEqual([2, 'config/invalid'])
  for (const { said } of [good, nowhere, bad]) expect(said).not.toContain('PLANTED-7f3a')
})

testWith('versitygw', 'who is named by NO_PROXY is asked without it', async () => {
  const lake = await awsLake()
  const { network, batch } = await locked(lake)
  // No resolver knows the name, so that who is not asked through the proxy is not reached.
  const { code, json } = await batch({ NO_PROXY: 'elsewhere.test,secrets.lake.test' })
  expect([code, json.error.code]).toEqual([3, 'secret/unavailable'])
  expect(json.error.message).toContain('ENOTFOUND')
  const hosts = network.connected.map(({ host }) => host)
  expect(hosts).toContain('glue.lake.test:443')
  expect(hosts).not.toContain('secrets.lake.test:443')
})

testWith('versitygw', 'an authority that is not trusted is told as such, whoever is asked first', async () => {
  const lake = await awsLake()
  const { batch } = await locked(lake)
  const failing = async (more: Record<string, string | undefined>) => {
    const { code, json, said } = await batch({ NODE_EXTRA_CA_CERTS: undefined, ...more })
    expect(said).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT/)
    return [code, json.error.code]
  }
  expect(await failing({})).toEqual([2, 'catalog/refused'])
  const { AWS_ENDPOINT_URL_GLUE = '', AWS_ENDPOINT_URL_S3 = '', AWS_ENDPOINT_URL = '' } = lake.env
  const direct = { AWS_ENDPOINT_URL_GLUE }
  expect(await failing(direct)).toEqual([3, 'storage/failed'])
  expect(await failing({ ...direct, AWS_ENDPOINT_URL_S3 })).toEqual([2, 'config/invalid'])
  const last = { ...direct, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_SECRETS_MANAGER: AWS_ENDPOINT_URL }
  expect(await failing(last)).toEqual([2, 'config/invalid'])
})

testWith('versitygw', 'a REST catalog and its token endpoint are asked through the proxy', async () => {
  const lake = await awsLake()
  const rest = await restFake({ client: { id: 'me', secret: 'PLANTED-7f3a' }, warehouse: 's3://lake/rest' })
  const network = await front({
    'catalog.lake.test': rest.uri,
    's3.lake.test': lake.store.endpoint,
  })
  await lake.put('vehicles/a.parquet', `select 'VIN' || (i % 100) as vin, i as n from range(1000) r(i)`)
  const config = lake.config(`
job: rest
input: { path: "s3://raw/vehicles/" }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: keys.json } }
output:
  table: db.t
  state: s3://lake/state
  catalog: { type: rest, uri: "https://catalog.lake.test", auth: oauth2, credential: { env: CREDENTIAL } }
`)
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = lake.env
  const env = {
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    AWS_REGION: 'eu-west-1',
    AWS_ENDPOINT_URL_S3: 'https://s3.lake.test',
    https_proxy: network.proxy,
    NODE_EXTRA_CA_CERTS: network.authority,
    CREDENTIAL: 'me:PLANTED-7f3a',
  }
  const run = () => pseudolake(['batch', '--config', config, '--json'], { env, cwd: lake.dir })
  const first = await run()
  expect(JSON.parse(first.stdout)).toMatchObject({ status: 'done', rows: 1000 })
  expect(JSON.parse((await run()).stdout)).toMatchObject({ status: 'nothing-to-do' })
  expect([...network.asked].sort()).toEqual(['catalog.lake.test', 's3.lake.test'])
  const shown = await pseudolake(['table', 'show', 'rest:db.t', '--config', config, '--json'], { env, cwd: lake.dir })
  expect(JSON.parse(shown.stdout)).toMatchObject({ rows: 1000 })
  for (const { stdout, stderr } of [first, shown]) expect(stdout + stderr).not.toContain('PLANTED-7f3a')
})
