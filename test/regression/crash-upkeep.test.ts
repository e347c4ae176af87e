/**
 * What a run leaves that is struck at any of its operations: `table verify` lists it, `table expire --orphans` takes away what nobody may
 * still publish, and the job's next run the rest. In memory every file is old, so that no age protects any.
 */
import { expect, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { LocationSet } from '../../lib/iceberg/location-set.ts'
import { reachAll } from '../../lib/iceberg/operations/reach.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { expireTable } from '../../pipelines/tables/expire.ts'
import { ledgerFolders } from '../../pipelines/tables/ledgers.ts'
import { openFolder } from '../../pipelines/tables/open.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { crashLake, TABLE } from './crash-lake.ts'
import { BLOWS, crashStorage, Dead, pausedStorage } from './crash-storage.ts'

const DAY = 24 * 3_600_000
const clock = systemClock()
const context = { clock, random: () => 0.5, uuid: () => crypto.randomUUID() }
let expiries = 0

async function expired(storage: Storage, olderThan?: number) {
  return expireTable(
    await openFolder(TABLE, storage, clock),
    { runId: `expiry-${++expiries}`, orphansOlderThanMs: 3 * DAY, ...(olderThan !== undefined && { olderThan }) },
    context,
  )
}

async function verified(storage: Storage) {
  const { state } = await openFolder(TABLE, storage, clock)
  return verifyTable(state, { storage, now: Date.now() })
}

/** Files under the warehouse that neither the table nor a mark needs, found without the search that is tested. */
async function loose(storage: Storage): Promise<string[]> {
  const { state } = await openFolder(TABLE, storage, clock)
  const needed = new LocationSet()
  await reachAll(storage, state, needed)
  const { reached, folders } = await ledgerFolders(storage, state.metadata)
  const found: string[] = []
  for await (const { location } of storage.list('/warehouse/'))
    if (
      !needed.has(location) &&
      !reached.has(location) &&
      !/\/(?:version-hint\.text|v\d+\.metadata\.json)$/.test(location)
    )
      found.push(location)
  // Ledgers of earlier epochs, taken up by later ones, are history.
  return found.filter(
    (location) => !folders.has(location.slice(0, location.lastIndexOf('/'))) || /-run-\d+\.jsonl$/.test(location),
  )
}

test('whatever a batch run leaves is listed, what nobody may publish goes, and after the next run nothing lies about', {
  timeout: 240_000,
}, async () => {
  const template = crashLake(1)
  await template.put('0.parquet', 'first')
  await template.run(template.storage)
  await template.put('0.parquet', 'in its place')
  await template.put('1.parquet', 'second')
  const whole = await template.copy()
  const unharmed = crashStorage(whole.storage)
  await whole.run(unharmed.storage)
  let [kept, removed] = [0, 0]
  for (const blow of BLOWS)
    for (let at = 1 + (BLOWS.indexOf(blow) % 3); at <= unharmed.operations; at += 3) {
      const home = await template.copy()
      const crash = crashStorage(home.storage, at, blow)
      await home.run(crash.storage).catch((error: unknown) => {
        if (!(error instanceof Dead || error instanceof PseudolakeError)) throw error
      })
      const what = `${blow}, operation ${at}: ${crash.struck}`
      const lying = await loose(home.storage)
      const listed = new Set((await verified(home.storage)).findings.map(({ location }) => location))
      expect(
        lying.filter((location) => !listed.has(location)),
        what,
      ).toEqual([])

      removed += (await expired(home.storage)).removed.orphans
      const after = await verified(home.storage)
      expect(after.status, what).toBe('clean')
      expect(
        after.findings.every(({ maybe_in_flight: needed }) => needed),
        what,
      ).toBe(true)
      kept += after.findings.length

      await home.run(home.storage)
      await home.put('afterwards.parquet', 'afterwards')
      expect(await home.run(home.storage), what).toMatchObject({ files: 1 })
      await home.check()
      // Its earlier snapshots go, too: the mark is enough.
      await expired(home.storage, Date.now() + DAY)
      expect(await verified(home.storage), what).toMatchObject({ status: 'clean', findings: [] })
      await home.check()
    }
  expect([kept > 0, removed > 0]).toEqual([true, true])
})

test('a run that sleeps through an expiry of everything that looks old publishes what it wrote, or nothing', {
  timeout: 240_000,
}, async () => {
  const template = crashLake(1)
  await template.put('0.parquet', 'first')
  await template.run(template.storage)
  await template.put('1.parquet', 'second')
  await template.put('2.parquet', 'third')
  const whole = await template.copy()
  const unharmed = crashStorage(whole.storage)
  await whole.run(unharmed.storage)
  for (let at = 1; at <= unharmed.operations; at++) {
    const home = await template.copy()
    const paused = pausedStorage(home.storage, at, () => expired(home.storage, Date.now() + DAY))
    const ended = await home.run(paused.storage).catch((error: unknown) => error)
    if (ended instanceof Error) expect(isPseudolakeError(ended), `${at}: ${paused.struck} ${ended.stack}`).toBe(true)
    await home.run(home.storage)
    await home.check()
  }
})
