/**
 * Plain Parquet files have no swap that makes them appear together with what a job remembers: a run that is struck at every one of its storage
 * operations in turn, or paused there while another one works, still leaves each row once.
 */
import { expect, test } from 'vitest'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { type CrashLake, crashLake, plainRows } from './crash-lake.ts'
import { BLOWS, crashStorage, Dead, pausedStorage } from './crash-storage.ts'

const full = process.env.PSEUDOLAKE_CRASH === 'full'
const timeout = full ? 3_600_000 : 180_000

const firstRun = async (): Promise<CrashLake> => {
  const home = crashLake(2, true)
  for (let i = 0; i < 3; i++) await home.put(`${i}.parquet`, `first ${i}`)
  return home
}

const laterRun = async (): Promise<CrashLake> => {
  const home = await firstRun()
  await home.run(home.storage)
  await home.put('0.parquet', 'in its place')
  await home.put('later.parquet', 'later')
  return home
}

const SCENES = [
  ['the first run', firstRun],
  ['a later run, with an input that replaces its earlier content', laterRun],
] as const

test.each(SCENES)(
  '%s can be struck at any operation: the next run makes it right, and nothing is lost or doubled',
  {
    timeout,
  },
  async (_, scene) => {
    const template = await scene()
    const whole = await template.copy()
    const unharmed = crashStorage(whole.storage)
    await whole.run(unharmed.storage)
    const struck = new Set<string>()
    let partly = 0
    for (const blow of BLOWS)
      for (let at = 1; at <= unharmed.operations; at++) {
        if (!full && blow !== 'dead after' && at % 3 !== 0) continue
        const home = await template.copy()
        const crash = crashStorage(home.storage, at, blow)
        await home.run(crash.storage).catch((error: unknown) => {
          if (isPseudolakeError(error) && error.context.outcome === 'partly-published') partly++
          if (!(error instanceof Dead || error instanceof PseudolakeError)) throw error
        })
        struck.add(crash.struck?.split(' ')[0] ?? 'nothing')
        await told(`${blow}, operation ${at}: ${crash.struck}`, async () => {
          await home.run(home.storage)
          // A run that commits takes away what the struck one left.
          await home.put('afterwards.parquet', 'afterwards')
          expect(await home.run(home.storage)).toMatchObject({ files: 1 })
          await home.check()
        })
      }
    expect([...struck]).toEqual(expect.arrayContaining(['link', 'unlink', 'delete', 'open', 'close', 'list']))
    expect(partly).toBeGreaterThan(0)
  },
)

test.each(SCENES)(
  '%s can be paused at any operation while another runner does the work: no row is lost or doubled',
  {
    timeout,
  },
  async (_, scene) => {
    const template = await scene()
    const whole = await template.copy()
    const unharmed = crashStorage(whole.storage)
    await whole.run(unharmed.storage)
    let overtaken = 0
    for (let at = 1; at <= unharmed.operations; at += full ? 1 : 2) {
      const home = await template.copy()
      const paused = pausedStorage(home.storage, at, () => home.run(home.storage))
      await told(`paused at operation ${at}: ${paused.struck}`, async () => {
        await home.run(paused.storage).catch((error: unknown) => {
          const codes = ['table/mark-changed', 'table/changed', 'table/conflict', 'storage/not-found'] as const
          if (!isPseudolakeError(error, ...codes)) throw error
          overtaken++
        })
        await home.put('afterwards.parquet', 'afterwards')
        expect(await home.run(home.storage)).toMatchObject({ files: 1 })
        await home.check()
      })
    }
    expect(overtaken).toBeGreaterThan(0)
  },
)

test('nothing is there to be read before the intent is', { timeout }, async () => {
  const template = await firstRun()
  const whole = await template.copy()
  const unharmed = crashStorage(whole.storage)
  await whole.run(unharmed.storage)
  for (let at = 1; at <= unharmed.operations; at++) {
    const home = await template.copy()
    const crash = crashStorage(home.storage, at, 'dead before')
    await home.run(crash.storage).catch(() => {})
    let intents = 0
    let marks = 0
    for await (const { location } of home.storage.list('/out/_pseudolake/')) {
      if (/\/intents\/.*\/\d+\.json$/.test(location)) intents++
      if (location.endsWith('.metadata.json')) marks++
    }
    if (intents === 0 && marks === 0) expect(await plainRows(home.storage), crash.struck ?? '').toEqual([])
  }
})

async function told(where: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw new Error(`struck: ${where}`, { cause: error })
  }
}
