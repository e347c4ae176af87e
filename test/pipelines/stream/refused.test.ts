/** Values that the service refuses: sealed with their records, and all others go through. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { openObject, openQuarantine } from '../../../pipelines/stream/quarantine/contents.ts'
import { replay } from '../../../pipelines/stream/quarantine/replay.ts'
import { x25519Opener } from '../../../pipelines/stream/quarantine/x25519.ts'
import { Caution, refusedValues } from '../../../pipelines/stream/refused.ts'
import { startService } from '../../../service/start.ts'
import { placesOf } from './places.ts'
import { background, recipient, type Stage, stage, until } from './stage.ts'

const PLANTED = 'PLANTED-7f3a'
const OUTSIDE = { runId: 'replay-1', createdBy: 'test', command: 'c', resetCommand: 'r' }

type How = 'names all' | 'names one' | 'names none' | '400' | 'everything'

/** The real service behind a front that refuses what has PLANTED in it. */
async function refusing(on: Stage, first: How) {
  const running = await startService({ keyring: on.keyring, auth: { insecureNoAuth: true } })
  onTestFinished(() => running.close())
  const state = { how: first as How | 'nothing', asked: 0, refused: 0 }
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    const values = Object.values(JSON.parse(body.toString()) as Record<string, string[]>)[0] ?? []
    const bad = values.flatMap((value, index) => (value.includes(PLANTED) ? [index] : []))
    state.asked++
    const { how } = state
    if (how === 'everything' || (how !== 'nothing' && bad.length > 0)) {
      state.refused++
      const named = how === 'names all' ? bad : how === 'names one' ? bad.slice(0, 1) : []
      const errors = named.map((index) => ({ index, code: 'identifier/invalid' }))
      response.writeHead(how === '400' || how === 'everything' ? 400 : 422, {
        'content-type': 'application/problem+json',
      })
      response.end(JSON.stringify({ code: 'identifier/invalid', ...(errors.length > 0 && { errors }) }))
      return
    }
    const answer = await fetch(`${running.url}${incoming.url}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const echoes = ['x-pseudolake-domain', 'x-pseudolake-key'].map((name) => [name, answer.headers.get(name) ?? ''])
    response.writeHead(answer.status, { ...Object.fromEntries(echoes), 'content-type': 'application/json' })
    response.end(Buffer.from(await answer.arrayBuffer()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/pseudonymization`
  return { state, settings: { service: { url, allow_http: true } } }
}

const records = (count: number, bad: (i: number) => boolean) =>
  Array.from({ length: count }, (_, i) => ({ id: i, vin: bad(i) ? `${PLANTED}-${i}` : `V${i}`, n: i }))

test.each(['names all', 'names one', 'names none', '400'] as const)(
  'refused values are sealed with their records, and all others are in the table once: a service that says %s',
  async (how) => {
    const on = await stage(2)
    const { publicKey, pem } = recipient()
    const service = await refusing(on, how)
    const settings = { ...service.settings, quarantine: { path: `${on.dir}/quarantine`, recipient: publicKey } }
    const isBad = (i: number) => i % 500 === 7
    await on.put(records(3000, isBad))
    const report = await on.run(settings)
    expect(report).toMatchObject({ status: 'caught-up', records: 3000, rows: 2994, quarantined: 6 })
    expect(await on.query('select count(*), count(distinct n), count(distinct s_vin) from t')).toEqual([
      ['2994', '2994', '2994'],
    ])
    const { job, places } = placesOf(on, settings)
    const { objects } = await openQuarantine(job, places)
    const opened = []
    for (const object of objects) {
      expect(object.reasons).toEqual({ refused: object.records })
      for (const { record } of await openObject(localStorage(), object, x25519Opener(pem)))
        opened.push((JSON.parse(Buffer.from(record.data).toString()) as { n: number }).n)
    }
    expect(opened.toSorted((a, b) => a - b)).toEqual([7, 507, 1007, 1507, 2007, 2507])
    // As few requests as it takes: two for each look where all are named, some 2 log₂ 900 for each bad value where none is.
    expect(service.state.refused).toBeLessThan(how === 'names all' ? 15 : 6 * 2 * 10 + 10)

    // Once the service takes them they come in by a replay, and not before.
    const outside = { ...OUTSIDE, opener: x25519Opener(pem) }
    const early = await replay(job, [], places, outside)
    expect(early).toMatchObject({ status: 'needs-a-look', rows: 0 })
    expect(early.still_bad.map(({ reasons }) => reasons)).toEqual(objects.map(({ reasons }) => reasons))
    service.state.how = 'nothing'
    expect(await replay(job, [], places, { ...outside, runId: 'replay-2' })).toMatchObject({ status: 'done', rows: 6 })
    expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['3000', '3000']])
  },
  60_000,
)

test('a value that is too long once it is normalized is refused by the client itself, of a service in the process', async () => {
  const on = await stage(1)
  const settings = {
    columns: { vin: { mode: 'deterministic', normalize: ['upper'] } },
    quarantine: { path: `${on.dir}/quarantine`, recipient: recipient().publicKey },
  }
  // Two bytes each, and three in upper case.
  await on.put([{ vin: 'a' }, { vin: 'ŉ'.repeat(30_000) }, { vin: 'b' }])
  expect(await on.run(settings)).toMatchObject({ rows: 2, quarantined: 1 })
  expect(await on.back((await on.query('select s_vin from t')).map(([vin]) => vin))).toEqual(['A', 'B'])
})

test('without a quarantine the first refused value ends the run: what comes before is committed, nothing after it', async () => {
  const on = await stage(1)
  const service = await refusing(on, 'names none')
  await on.put(records(1000, (i) => i === 600 || i === 700))
  await expect(on.run(service.settings)).rejects.toMatchObject({
    code: 'stream/bad-record',
    context: { reason: 'refused', outcome: 'partly-published' },
    message: expect.not.stringContaining(PLANTED),
  })
  expect(await on.query('select count(*), max(n) from t')).toEqual([['600', '599']])
  // Nothing is skipped afterwards: it stands where it stood.
  await expect(on.run(service.settings)).rejects.toMatchObject({ code: 'stream/bad-record' })
  expect(await on.query('select count(*), max(n) from t')).toEqual([['600', '599']])
  service.state.how = 'nothing'
  expect(await on.run(service.settings)).toMatchObject({ rows: 400 })
})

test('a record whose value was refused is not one that was seen: sent again and right, it comes in', async () => {
  const on = await stage(1)
  const service = await refusing(on, 'names all')
  const settings = {
    ...service.settings,
    dedupe: { keys: ['id'], window: '1h' },
    quarantine: { path: `${on.dir}/quarantine`, recipient: recipient().publicKey },
  }
  await on.put([
    { id: 1, vin: 'V1' },
    { id: 2, vin: PLANTED },
    { id: 1, vin: 'V1' },
    { id: 2, vin: 'V2' },
    { id: 2, vin: 'V2' },
  ])
  expect(await on.run(settings)).toMatchObject({ records: 5, rows: 2, quarantined: 1, duplicates: 2 })
  expect(await on.query('select id from t order by id')).toEqual([['1'], ['2']])
})

test('a service that refuses whatever it is asked seals nothing: the run ends, and the records stay in the stream', async () => {
  const on = await stage(1)
  const service = await refusing(on, 'names none')
  const settings = {
    ...service.settings,
    commit: { every: '100ms' },
    quarantine: { path: `${on.dir}/quarantine`, recipient: recipient().publicKey },
  }
  const consumer = background(on, settings)
  await until(() => consumer.run.gauges().state === 'owner')
  service.state.how = 'everything'
  await on.put(records(100, () => false))
  const { error } = await consumer.ended
  // It does not know the table's key any more, as far as can be told.
  expect(error).toMatchObject({ code: 'table/key-changed' })
  service.state.how = 'nothing'
  expect(await on.run(settings)).toMatchObject({ records: 100, rows: 100, quarantined: 0 })
}, 30_000)

test('max_records ends a run of refused values as it does one of other bad records', async () => {
  const on = await stage(1)
  const service = await refusing(on, 'names all')
  const quarantine = { path: `${on.dir}/quarantine`, recipient: recipient().publicKey, max_records: 3 }
  await on.put(records(100, (i) => i % 10 === 9))
  await expect(on.run({ ...service.settings, quarantine })).rejects.toMatchObject({ code: 'stream/too-many-bad' })
  expect(await on.query('select count(*), max(n) from t')).toEqual([['36', '38']])
})

test('records are trusted again after ten commits without a refused value, and a refusal at every turn ends in an error', () => {
  const caution = new Caution()
  expect(caution.on).toBe(false)
  expect(caution.raise()).toBe(true)
  for (let i = 0; i < 9; i++) caution.committed(0)
  expect(caution.on).toBe(true)
  caution.committed(1)
  for (let i = 0; i < 9; i++) caution.committed(0)
  expect(caution.on).toBe(true)
  caution.committed(0)
  expect(caution.on).toBe(false)
  expect([1, 2, 3, 4].map(() => caution.raise())).toEqual([true, true, true, false])
})

test('a value alone is at fault only where a constant is answered', async () => {
  const question = { direction: 'pseudonymize', domain: 'default', deterministic: true } as const
  const refuse = () => {
    throw new PseudolakeError('service/refused', 'no', { status: 400 })
  }
  const all = { call: async () => refuse() }
  await expect(refusedValues(['a', 'b'], question, all)).rejects.toMatchObject({ code: 'service/refused' })
  let asked = 0
  const one = {
    call: async ({ values }: { readonly values: readonly string[] }) => {
      asked++
      return values.includes('500') ? refuse() : { values }
    },
  }
  const values = Array.from({ length: 900 }, (_, i) => String(i))
  expect(await refusedValues(values, question, one)).toEqual(['500'])
  expect(asked).toBeLessThan(25)
})

test('what a call brings that is no refusal of a value is passed on', async () => {
  const question = { direction: 'pseudonymize', domain: 'default', deterministic: true } as const
  const failing = (code: 'service/unavailable' | 'service/denied') => ({
    call: async () => {
      throw new PseudolakeError(code, 'away', {})
    },
  })
  for (const code of ['service/unavailable', 'service/denied'] as const)
    await expect(refusedValues(['a', 'b'], question, failing(code))).rejects.toSatisfy((error) =>
      isPseudolakeError(error, code),
    )
})
