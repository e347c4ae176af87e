/**
 * A run that is struck at every one of its storage operations in turn. `make crash` (PSEUDOLAKE_CRASH=full) strikes longer runs; the short
 * form is the smallest run that has each kind of operation.
 */
import { expect, test } from 'vitest'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { type CrashLake, crashLake } from './crash-lake.ts'
import { BLOWS, type Blow, crashStorage, Dead, pausedStorage } from './crash-storage.ts'

const full = process.env.PSEUDOLAKE_CRASH === 'full'

/** A state of the lake with work to do. */
type Scene = () => Promise<CrashLake>

const firstRun: Scene = async () => {
  const home = crashLake(full ? 2 : 1)
  for (let i = 0; i < (full ? 5 : 2); i++) await home.put(`${i}.parquet`, `first ${i}`)
  return home
}

const laterRun: Scene = async () => {
  const home = await firstRun()
  await home.run(home.storage)
  await home.put('0.parquet', 'in its place')
  for (let i = 0; i < (full ? 4 : 1); i++) await home.put(`later-${i}.parquet`, `later ${i}`)
  return home
}

test.each([
  ['the first run of a table', firstRun],
  ['a later run, with an input that replaces its earlier content', laterRun],
] as const)(
  '%s can be struck at any operation: the next run makes it right, and nothing is lost or doubled',
  {
    timeout: full ? 3_600_000 : 120_000,
  },
  async (_, scene) => {
    const template = await scene()
    const whole = await template.copy()
    const unharmed = crashStorage(whole.storage)
    await whole.run(unharmed.storage)
    const struck = new Set<string>()
    for (const blow of BLOWS)
      for (let at = 1; at <= unharmed.operations; at++) {
        if (!full && !isInShortForm(blow, at)) continue
        const home = await template.copy()
        const crash = crashStorage(home.storage, at, blow)
        await home.run(crash.storage).catch((error: unknown) => {
          if (!(error instanceof Dead || error instanceof PseudolakeError)) throw error
        })
        struck.add(crash.struck?.split(' ')[0] ?? 'nothing')
        await told(`${blow}, operation ${at}: ${crash.struck}`, async () => {
          await home.run(home.storage)
          if (full) await home.check()
          // A run that commits takes away what the struck one left, or `table verify` lists it.
          await home.put('afterwards.parquet', 'afterwards')
          expect(await home.run(home.storage)).toMatchObject({ files: 1 })
          await home.check()
        })
      }
    expect([...struck].sort()).toEqual(
      expect.arrayContaining(['close', 'delete', 'list', 'open', 'read', 'stat', 'write']),
    )
    expect(struck).not.toContain('nothing')
  },
)

test.each([
  ['the first run of a table', firstRun],
  ['a later run, with an input that replaces its earlier content', laterRun],
] as const)(
  '%s can be paused at any operation while another runner does the work: nothing that either needs is removed, and no row comes twice',
  {
    timeout: full ? 3_600_000 : 120_000,
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
          if (!isPseudolakeError(error, 'table/mark-changed', 'table/changed', 'table/conflict')) throw error
          overtaken++
        })
        expect(paused.struck).toBeDefined()
        await home.check()
        await home.put('afterwards.parquet', 'afterwards')
        expect(await home.run(home.storage)).toMatchObject({ files: 1 })
        await home.check()
      })
    }
    expect(overtaken).toBeGreaterThan(0)
  },
)

/** What is dead after an operation is dead before the next one: of the rest a part is enough where time is short. */
function isInShortForm(blow: Blow, at: number): boolean {
  if (blow === 'dead after') return true
  return blow !== 'dead before' && at % 3 === 0
}

/** Says at which blow it was that a check failed. */
async function told(where: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw new Error(`struck: ${where}`, { cause: error })
  }
}
